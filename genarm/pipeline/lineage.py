"""Where a result comes from: the git commit, whether files differ from it, the data version, the servers."""

import os
import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from genarm.data.dvc import data_version
from genarm.pipeline.project import Project
from genarm.system.files import read_json
from genarm.system.redact import redact_url
from genarm.types import Champion, Provenance

# What a run or `genarm judge-check` writes is a result, which trains nothing: it makes no working tree dirty.
RESULTS = ("dvc.lock", "mlflow/*.json", "judge-checks.json")


def git_commit(root: Path) -> str | None:
    """The commit that is checked out; None outside a repository or before the first commit."""
    return git(root, "rev-parse", "HEAD") or None


def git_dirty(root: Path) -> bool:
    """Whether tracked files differ from the commit, apart from results."""
    return bool(changed_files(root))


def changed_files(root: Path) -> list[str]:
    """The tracked files that differ from the commit, apart from results."""
    ignored = (f":!{pattern}" for pattern in RESULTS)
    told = git(root, "status", "--porcelain", "--untracked-files=no", "--", ".", *ignored)
    return [line.strip().partition(" ")[2].strip() for line in told.splitlines()]


def provenance(project: Project, dimension: str, warm_start: Champion | None) -> Provenance:
    """What the card of an ARM that is trained now records."""
    weight = project.params.dimensions[dimension].weight
    return Provenance(
        data_md5=data_version(project.root),
        git_commit=git_commit(project.root),
        weight=1.0 if isinstance(weight, str) else weight,  # it is found once the ARM is there
        warm_start=warm_start,
        guidance=project.params.respond.guidance,
    )


def report_lineage(project: Project) -> dict[str, str]:
    """What the report shows of its origin: date, commit, data version, servers, and ids that the flow noted.

    What is not known is empty; `git dirty` is `true` or `false`, as the registry tags it.
    """
    noted, commit = project.layout.lineage, git_commit(project.root)
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "git commit": commit or "",
        "git dirty": str(git_dirty(project.root)).lower() if commit else "",
        "git page": commit_page(git(project.root, "remote", "get-url", "origin"), commit) if commit else "",
        "data md5": data_version(project.root) or "",
        "mlflow server": server_page(os.environ.get("MLFLOW_TRACKING_URI", "")),
        "prefect server": server_page(
            os.environ.get("PREFECT_UI_URL") or os.environ.get("PREFECT_API_URL", "")
        ),
        **(read_json(noted, dict[str, str]) if noted.exists() else {}),
    }


def commit_page(remote: str, commit: str) -> str:
    """The page of a commit at a host of GitHub's or GitLab's form, without any login; empty for others.

    A remote is a URL, or `git@github.com:owner/name.git`. Whether the commit was pushed is not known here.
    """
    form = re.fullmatch(
        r"(?:(?:https?|ssh|git)://(?:[^/]*@)?|(?:[^/@:]+@))(?P<host>[A-Za-z0-9.-]+)(?::\d+)?[/:]+"
        r"(?P<path>[\w.~/-]+?)(?:\.git)?/?",
        remote,
    )
    if form is None:
        return ""
    host, path = form["host"].lower(), form["path"]
    if "github" in host:
        return f"https://{host}/{path}/commit/{commit}"
    return f"https://{host}/{path}/-/commit/{commit}" if "gitlab" in host else ""


def server_page(address: str) -> str:
    """Where a server shows its pages, without a login; empty where this is no server, such as a local store.

    Prefect's API is at `/api` of its pages, that of Prefect Cloud at another host.
    """
    if not address.startswith(("http://", "https://")):
        return ""
    page = redact_url(address).rstrip("/").removesuffix("/api")
    cloud = re.fullmatch(r"https://api\.prefect\.cloud/api/accounts/([^/]+)/workspaces/([^/]+)", page)
    return f"https://app.prefect.cloud/account/{cloud[1]}/workspace/{cloud[2]}" if cloud else page


def git(root: Path, *arguments: str) -> str:
    """What git prints in a folder, without white space around it; empty where it fails."""
    done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""  # before the first commit, git prints "HEAD"
