"""Which files are results that a commit keeps, and whether a commit has them as they are now."""

import hashlib
from collections.abc import Sequence

from genarm.data.dvc_lock import LOCK, POINTER, read_records
from genarm.pipeline.publish.git import Git
from genarm.system.layout import Layout

STAGES = "dvc.yaml"


def result_files(git: Git) -> list[str]:
    """`data.dvc`, `dvc.lock` and the `mlflow/*.json` that are there.

    Of the last, those that runs write and those that git tracks: what else lies there may be anybody's.
    """
    layout = Layout(git.root)
    written = (layout.champions, layout.incumbents, layout.looks, layout.starts)
    own = [path.relative_to(git.root).as_posix() for path in written]
    tracked = git.ask("ls-files", "-z", "--", ":(glob)mlflow/*.json").split("\0")
    wanted = {POINTER, LOCK, *own, *tracked} - {""}
    return sorted(name for name in wanted if (git.root / name).is_file())


def contents(git: Git, files: Sequence[str]) -> dict[str, str]:
    """The hash that git gives each file as it is now."""
    hashes = git.ask("hash-object", "--", *files).splitlines() if files else []
    return dict(zip(files, hashes, strict=True))


def differing(git: Git, commit: str, files: Sequence[str]) -> list[str]:
    """The files that a commit lacks or has otherwise than they are now."""
    now = contents(git, files)
    return [
        name for name in files if git.ask("rev-parse", "-q", "--verify", f"{commit}:./{name}") != now[name]
    ]


def digest(git: Git, files: Sequence[str]) -> str:
    """A hash of all results: the same results have the same one in every clone."""
    told = "\n".join(f"{name} {content}" for name, content in contents(git, files).items())
    return hashlib.sha256(told.encode()).hexdigest()[:12]


def not_committed(git: Git) -> list[str]:
    """The files that the recorded stages depend on and that differ from the commit, apart from results.

    A clone has them otherwise, so it would run those stages again.
    """
    records = read_records(git.root)
    if records is None:
        return []
    inputs = {entry.path for entry in records.inputs if not records.of(entry.path)}
    parameters = {name for files in records.parameters.values() for name in files}
    paths = {path for path in inputs | parameters | {STAGES} if not path.startswith(("/", ".."))}
    paths -= set(result_files(git))
    told = git.ask(
        "status", "--porcelain", "-z", "--no-renames", "--untracked-files=all", "--", *sorted(paths)
    )
    return [entry.strip().partition(" ")[2].strip() for entry in told.split("\0") if entry.strip()]
