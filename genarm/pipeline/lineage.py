"""Where a result comes from: the git commit, whether files differ from it, and the data version."""

import subprocess
from pathlib import Path

from genarm.data.dvc import data_version
from genarm.pipeline.project import Project
from genarm.system.files import read_json
from genarm.types import Champion, Provenance

# What a run writes itself does not make a working tree dirty.
WRITTEN_BY_A_RUN = ("dvc.lock", "mlflow/*.json")


def git_commit(root: Path) -> str | None:
    """The commit that is checked out; None outside a repository or before the first commit."""
    return _git(root, "rev-parse", "HEAD") or None


def git_dirty(root: Path) -> bool:
    """Whether tracked files differ from the commit, apart from what a run itself writes."""
    ignored = (f":!{pattern}" for pattern in WRITTEN_BY_A_RUN)
    return bool(_git(root, "status", "--porcelain", "--untracked-files=no", "--", ".", *ignored))


def provenance(project: Project, dimension: str, warm_start: Champion | None) -> Provenance:
    """What the card of an ARM that is trained now records."""
    return Provenance(
        data_md5=data_version(project.root),
        git_commit=git_commit(project.root),
        weight=project.params.dimensions[dimension].weight,
        warm_start=warm_start,
    )


def report_lineage(project: Project) -> dict[str, str]:
    """What the report shows of its origin: commit, data version, and the ids that the flow noted."""
    noted = project.layout.lineage
    return {
        "git commit": git_commit(project.root) or "",
        "data md5": data_version(project.root) or "",
        **(read_json(noted, dict[str, str]) if noted.exists() else {}),
    }


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=False)
    return done.stdout.strip()
