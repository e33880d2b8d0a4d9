"""Files that genarm can make again, or that a kill left: which of them are old.

Answers of language models as judges (`.cache/judges`) are paid for, and always stay.
"""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from genarm.data.change import Change
from genarm.data.dvc import data_version
from genarm.errors import GenarmError
from genarm.intake import held
from genarm.models import cache_folder
from genarm.models.arm import read_card
from genarm.pipeline.project import Project

# Folders of artifacts/ that hold something for each dimension.
OF_DIMENSIONS = (
    "arms",
    "champions",
    "checkpoints",
    "pairs",
    "responses/challenger",
    "responses/champion",
    "starts",
    "train",
    "tune",
    "verdicts",
)
NEW = ".new"  # the end of a token cache's name while it is written


@dataclass(frozen=True, slots=True)
class Old:
    """A file or a folder that may go; `remove` is what removes it, once more asked whether it is in use."""

    path: Path
    why: str
    bytes: int
    remove: Callable[[], None]


def size(path: Path) -> int:
    """The bytes of a file, or of all below a folder; 0 where there is none."""
    files = [path] if path.is_file() else path.rglob("*")
    return sum(file.lstat().st_size for file in files if file.is_file() or file.is_symlink())


def responses(project: Project, since: float) -> Iterator[Old]:
    """What stages made for dimensions that `params.yaml` no longer has, answers above all."""
    for kind in OF_DIMENSIONS:
        for path in sorted((project.layout.artifacts / kind).glob("*")):
            name = path.stem if path.is_file() else path.name
            if name not in project.params.dimensions and not name.startswith(".") and _is_old(path, since):
                yield _old(path, f"params.yaml has no dimension {name!r} any more")


def caches(project: Project, since: float, days: int) -> Iterator[Old]:
    """Kept answers of the project that no look has asked for lately; token caches of the user likewise."""
    unasked = f"not used for {days} days"
    for folder in ("kept", "experiments"):
        for path in sorted((project.root / ".cache" / folder).glob("*")):
            if _is_old(path, since):
                yield _old(path, unasked)
    yield from _measured_champions(project, since)
    for path in sorted((cache_folder() / "tokens").glob("*")):
        lock = path.with_name(
            f"{path.name.removesuffix(NEW)}.lock"
        )  # is touched whenever the tokens are asked for
        if path.is_dir() and _is_old(path, since) and _is_old(lock, since):
            yield Old(path, unasked, size(path), _unless_locked(path, lock))
    for path in sorted((cache_folder() / "start").glob("*.json")):
        if _is_old(path, since):
            yield _old(path, unasked)


def _measured_champions(project: Project, since: float) -> Iterator[Old]:
    """The ARMs in `.cache/watch`, a folder a dimension, fetched to be measured again at night.

    One that is in use stays, though its files be old: tomorrow's night reads it.
    """
    in_use = project.champions(missing_ok=True)
    for path in sorted((project.root / ".cache" / "watch").glob("*")):
        champion = in_use.get(path.name)
        if not (champion and _holds(path, champion.adapter_sha256)) and _is_old(path, since):
            yield _old(path, f"fetched to be measured, and not the champion of {path.name} any more")


def _holds(folder: Path, adapter: str) -> bool:
    try:
        return read_card(folder).adapter_sha256 == adapter
    except GenarmError:  # cut short: it is fetched again
        return False


def places(project: Project) -> list[Path]:
    """The folders that `caches` looks into."""
    ours, mine = project.root / ".cache", cache_folder()
    return [ours / "kept", ours / "experiments", ours / "watch", mine / "tokens", mine / "start"]


def held_data(project: Project) -> Iterator[Old]:
    """New data that nobody can approve any more, and what a killed refresh or change of data had gathered."""
    root = project.root
    waits = held.waiting(root)
    in_use = data_version(root) or ""
    for path in sorted(held.folder(root).glob("*")):
        if not path.is_dir():
            continue
        if path.name != "held" or waits is None:
            yield _old(path, "left by a refresh that was refused or cut short")
        elif waits.version != in_use:
            was = waits.version[:12] or "none"
            yield _old(path, f"was compared with data version {was}, {in_use[:12] or 'none'} is in use")
    change = Change(root)
    if change.new.is_dir() and not change.was.exists():
        yield _old(change.new, "left by a change of data that was cut short")


def _is_old(path: Path, since: float) -> bool:
    """Whether nothing of it was changed since."""
    if not path.exists():
        return True
    return all(part.lstat().st_mtime < since for part in (path, *path.rglob("*")))


def _old(path: Path, why: str) -> Old:
    return Old(path, why, size(path), lambda: remove(path))


def remove(path: Path) -> None:
    """Remove a file or a folder; one that is gone already is no error."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _unless_locked(path: Path, lock: Path) -> Callable[[], None]:
    def removed() -> None:
        try:
            with FileLock(lock, timeout=0):
                remove(path)
        except Timeout:
            pass  # somebody is writing it: it is in use after all

    return removed
