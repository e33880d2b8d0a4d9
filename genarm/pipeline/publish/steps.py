"""Publishing in its order: data to the DVC remote, results into a commit, the commit to the git remote.

A step that fails keeps no other from being done, with one exception: a commit is not pushed while the files
that it names are not at the DVC remote, since nobody could pull them. The same call does later what was left.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from genarm.config import PublishConfig
from genarm.data import dvc
from genarm.errors import GenarmError, PipelineError
from genarm.pipeline.check_result import CheckResult, in_one
from genarm.pipeline.plan import several
from genarm.pipeline.project import Project
from genarm.pipeline.publish.commit import Committed, commit_results
from genarm.pipeline.publish.git import Git
from genarm.pipeline.publish.message import message_of
from genarm.pipeline.publish.push import push_commit
from genarm.pipeline.publish.ready import ready
from genarm.pipeline.publish.record import note
from genarm.pipeline.publish.results import not_committed
from genarm.system.process import OnLine, ignore
from genarm.types import Decision


@dataclass(slots=True)
class Published:
    """What was done, what is odd about it, and what could not be done; each one a line."""

    done: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    left: list[GenarmError] = field(default_factory=list)
    branch: str = ""
    commit: str = ""

    @property
    def error(self) -> GenarmError | None:
        """All that was left as one error; None where everything was done."""
        if len(self.left) < 2:
            return self.left[0] if self.left else None
        return in_one([CheckResult("publish", "fail", e.message, e.hint) for e in self.left])


@dataclass(frozen=True, slots=True)
class Publication:
    """What is to be published, and how: the results of a project as they are now.

    `decisions` and `flow_run` are told by the commit; without decisions, those of the last run are.
    """

    project: Project
    config: PublishConfig
    decisions: Sequence[Decision] | None = None
    flow_run: str = ""

    def push_data(self, on_line: OnLine = ignore) -> str:
        """Send data, outputs and run cache to the DVC remote; what was done."""
        return f"dvc push: {dvc.push(self.project.root, on_line)}"

    def commit(self) -> Committed | None:
        """Commit the results with a message that tells the decisions; None where nothing is left to do."""
        message = message_of(self.project, self.decisions, self.flow_run)
        return commit_results(Git(self.project.root), self.config, message)

    def push(self, committed: Committed) -> list[str]:
        """Push the branch of the commit; what was done."""
        return push_commit(Git(self.project.root), self.config, committed)


@dataclass(frozen=True, slots=True)
class Steps:
    """The three steps; a flow puts its tasks in their places."""

    push_data: Callable[[Publication], str] = Publication.push_data
    commit: Callable[[Publication], Committed | None] = Publication.commit
    push: Callable[[Publication, Committed], list[str]] = Publication.push


def publish(publication: Publication, steps: Steps | None = None) -> Published:
    """Do what is asked for, and note what was left; an error of genarm ends its step alone."""
    made, root = Published(), publication.project.root
    try:
        found = ready(root, publication.config)
        made.notes += [f"{r.detail}; hint: {r.fix}" for r in found if r.status == "warn"]
        if failed := [r for r in found if r.status == "fail"]:
            raise in_one(failed)
        _in_order(publication, steps or Steps(), made)
    except GenarmError as error:
        made.left.append(error)
    note(root, made.done, [str(error) for error in made.left])
    return made


def _in_order(publication: Publication, steps: Steps, made: Published) -> None:
    config = publication.config
    if config.dvc == "push":
        try:
            made.done.append(steps.push_data(publication))
        except GenarmError as error:
            made.left.append(error)
    if config.git == "none":
        return
    if changed := not_committed(Git(publication.project.root)):
        made.notes.append(
            f"stages depend on what is not committed ({several(changed)}), and it stays as it is: a clone "
            "would run them again; hint: git add and commit it, then genarm publish"
        )
    committed = steps.commit(publication)
    if committed is None:
        made.done.append("git: these results are committed already")
        return
    made.branch, made.commit = committed.branch, committed.commit
    what = "committed" if committed.made else "the results are in"
    made.done.append(f"git: {what} {committed.short} on {committed.branch}")
    if not config.push:
        return
    if made.left:
        raise PipelineError(
            f"{committed.short} was not pushed: a clone could not pull the files that it names",
            hint="mend the DVC remote first, then: genarm publish",
        )
    made.done += [f"git: {line}" for line in steps.push(publication, committed)]
