"""What a worker has to be told to run a stage: where the commit is, and what this run has changed since."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from genarm.data.dvc_elsewhere import AGAIN
from genarm.errors import PipelineError
from genarm.pipeline.elsewhere.versions import installed, pinned
from genarm.pipeline.project import Project
from genarm.pipeline.publish.git import Git
from genarm.pipeline.publish.remote import target
from genarm.pipeline.publish.results import result_files
from genarm.system.redact import redact_url


@dataclass(frozen=True, slots=True)
class Job:
    """One stage of one state of a project.

    `needs` are the stages right before it, whose files it reads. `folder` is the project's place in the
    repository, empty for its top. `files` are the results that this run has written and no commit holds yet:
    `dvc.lock`, `data.dvc` and `mlflow/*.json`, by path and content. `versions` are those installed where the
    run is.
    """

    stage: str
    needs: list[str]
    repository: str
    folder: str
    commit: str
    files: dict[str, str]
    versions: dict[str, str]

    @property
    def digest(self) -> str:
        """The same for the same work, by which a run finds one that a killed run had submitted."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:24]


def job_of(project: Project, stage: str, needs: Sequence[str]) -> Job:
    """The job of a stage as the project is now.

    Raises PipelineError where the project has no address to clone from.
    """
    git = Git(project.root)
    files = {name: (project.root / name).read_text(encoding="utf-8") for name in result_files(git)}
    return Job(
        stage,
        list(needs),
        repository(git),
        git.ask("rev-parse", "--show-prefix").rstrip("/"),
        git.ask("rev-parse", "HEAD"),
        files,
        installed(pinned(project.root)),
    )


def repository(git: Git) -> str:
    """The address that a worker clones from: that of the remote that this branch is pushed to.

    Raises PipelineError where there is none, or where it holds a login, which Prefect would keep.
    """
    where = target(git, git.ask("symbolic-ref", "-q", "--short", "HEAD") or "HEAD")
    if where is None:
        raise PipelineError(
            "pools: workers clone the project, and git has no remote that they could clone from",
            hint=f"git remote add origin URL && git push -u origin HEAD; {AGAIN}",
        )
    address = git.ask("remote", "get-url", where.remote)
    local = Path(git.root, address)
    if "://" not in address and ":" not in address.partition("/")[0] and local.exists():
        return str(local.resolve())
    if redact_url(address) != address and not address.startswith("ssh://"):
        raise PipelineError(
            f"pools: the address of the git remote {where.remote} holds a login, and Prefect keeps what it "
            "sends",
            hint=f"git remote set-url {where.remote} {redact_url(address)}, and git's credential helper or "
            "GIT_ASKPASS for the login, on the workers too",
        )
    return address
