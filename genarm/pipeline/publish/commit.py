"""The commit that keeps results: on the branch that is checked out, or on a branch of its own for review.

A commit on the checked-out branch holds the results and nothing else, whatever else is changed or staged. A
branch for review is made in a work tree of its own, so that the checked-out one is not touched at all.
"""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from genarm.config import PublishConfig
from genarm.errors import Busy, GenarmError, PipelineError
from genarm.pipeline.publish.git import Git, quoted
from genarm.pipeline.publish.remote import TRACKING, target
from genarm.pipeline.publish.results import differing, digest, result_files

NO_HOOKS = ("-c", "core.hooksPath=/dev/null")  # of `dvc install`, which would check out data in the work tree
LOCKED = ("index.lock", "cannot lock ref")
AGAIN = "then: genarm publish"


@dataclass(frozen=True, slots=True)
class Committed:
    """A commit that has the results as they are now, and the local branch that it is on.

    `made` says whether it was made now.
    """

    commit: str
    branch: str
    made: bool

    @property
    def short(self) -> str:
        """The commit as people name it."""
        return self.commit[:12]


def commit_results(git: Git, config: PublishConfig, message: str) -> Committed | None:
    """Commit the results as they are now, unless a commit has them; None where nothing is left to publish.

    Raises PipelineError where git or one of its hooks refuses, Busy where another git holds its lock. The
    files, and whatever else is changed or staged, are then as they were.
    """
    files = result_files(git)
    if config.git == "branch":
        return _on_a_branch_for_review(git, files, config.prefix, message)
    branch, differ = git.ask("symbolic-ref", "-q", "--short", "HEAD"), differing(git, "HEAD", files)
    if differ:
        _commit(git, differ, message)
    return Committed(git.ask("rev-parse", "HEAD"), branch, made=bool(differ))


def _on_a_branch_for_review(git: Git, files: Sequence[str], prefix: str, message: str) -> Committed | None:
    """The branch is named after the results, so the same results open one branch, in whichever clone."""
    head, name = git.ask("rev-parse", "HEAD"), f"{prefix}/results-{digest(git, files)}"
    if is_merged(git, files):
        return None
    if known := git.ask("rev-parse", "-q", "--verify", f"refs/heads/{name}"):
        return Committed(known, name, made=False)
    differ = differing(git, "HEAD", files)
    if differ:
        with _work_tree(git, head) as tree:
            for file in differ:
                (tree.root / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(git.root / file, tree.root / file)
            _commit(tree, differ, message)
            head = tree.ask("rev-parse", "HEAD")
    if not git.holds("update-ref", f"refs/heads/{name}", head, ""):
        raise PipelineError(
            f"git made no branch {name}: another branch, such as {prefix}, may be in its way",
            hint=f"choose another publish.prefix, or delete that branch; {AGAIN}",
        )
    return Committed(head, name, made=bool(differ))


def is_merged(git: Git, files: Sequence[str]) -> bool:
    """Whether HEAD has the results and was seen at a remote, or the branch that it follows has them."""
    if not differing(git, "HEAD", files):
        return not git.ask("remote") or bool(git.ask("branch", "--remotes", "--contains", "HEAD"))
    upstream = git.ask("rev-parse", "--symbolic-full-name", "@{upstream}")
    if not upstream:
        branch = git.ask("symbolic-ref", "-q", "--short", "HEAD")
        where = target(git, branch) if branch else None
        upstream = where.tracking if where else ""
    return upstream.startswith(TRACKING) and not differing(git, upstream, files)


def _commit(git: Git, files: Sequence[str], message: str) -> None:
    unknown = [name for name in files if not git.holds("ls-files", "--error-unmatch", "--", name)]
    steps = [("add", "--", *unknown)] if unknown else []
    for step in (*steps, ("commit", "--quiet", "--message", message, "--", *files)):
        code, lines = git.run(*step)
        if code:
            if unknown:
                git.holds("reset", "--quiet", "--", *unknown)  # as it was: known to no commit
            raise _refused(step[0], lines, files)


def _refused(step: str, lines: Sequence[str], files: Sequence[str]) -> GenarmError:
    said = quoted(lines)
    if any(word in line for line in lines for word in LOCKED):
        return Busy(
            f"git {step}: another git command is at work here, or one was killed: {said}",
            hint=f"wait for it to end; if none runs, delete the .lock file that is named; {AGAIN}",
        )
    return PipelineError(
        f"git {step} of the results was refused, perhaps by a hook: {said}",
        hint=f"the files are kept as they are; mend what git names, or commit them by hand: "
        f"git commit -- {' '.join(files)}; {AGAIN}",
    )


@contextmanager
def _work_tree(git: Git, commit: str) -> Iterator[Git]:
    """A second work tree at a commit, on no branch; it is gone afterwards, as is one that a kill left."""
    folder = git.root / ".cache" / "publish" / "tree"
    _remove(git, folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    code, lines = git.run(*NO_HOOKS, "worktree", "add", "--quiet", "--detach", str(folder), commit)
    try:
        if code:
            raise PipelineError(
                f"git made no work tree for the branch: {quoted(lines)}",
                hint=f"mend what git names; {AGAIN}",
            )
        yield Git(folder / git.ask("rev-parse", "--show-prefix"))
    finally:
        _remove(git, folder)


def _remove(git: Git, folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    git.holds("worktree", "prune")
