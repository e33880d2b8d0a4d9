"""Git around a new project: a repository where there is none, and its first commit."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

from genarm.errors import PipelineError


def is_inside(folder: Path) -> bool:
    """Whether a folder, there or not yet, lies in a repository. Raises PipelineError without git."""
    there = next(f for f in (folder, *folder.parents) if f.is_dir())
    return _git(there, "rev-parse", "--is-inside-work-tree").returncode == 0


def is_committer_known(folder: Path) -> bool:
    """Whether git knows who commits, by its settings or the environment, without guessing."""
    there = next(f for f in (folder, *folder.parents) if f.is_dir())
    return _git(there, "-c", "user.useConfigOnly=true", "var", "GIT_COMMITTER_IDENT").returncode == 0


def make_repository(folder: Path) -> None:
    """A repository of the folder's own. Raises PipelineError where git makes none."""
    done = _git(folder, "init", "--quiet")
    if done.returncode:
        raise PipelineError(
            f"git init failed in {folder}: {done.stderr.strip()}",
            hint="choose another folder, or make it a repository by yourself: git init",
        )


def commit(folder: Path, files: Sequence[str]) -> None:
    """Commit these files alone. Raises PipelineError where git refuses, such as in a hook of the user's."""
    for arguments in (("add", "--", *files), ("commit", "--quiet", "-m", "A new project", "--", *files)):
        done = _git(folder, *arguments)
        if done.returncode:
            raise PipelineError(
                f"the project is made, but git {arguments[0]} failed: {' '.join(done.stderr.split())}",
                hint='commit it: git add -A && git commit -m "A new project"',
            )


def _git(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise PipelineError(
            "git is not installed, and every version is traced to a commit", hint="install git"
        ) from None
