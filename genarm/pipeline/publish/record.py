"""What the last publishing did and left, noted beside the caches of this clone."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from genarm.errors import DataError
from genarm.system.files import read_json, write_json


@dataclass(frozen=True, slots=True)
class Noted:
    """The lines of the last publishing: what was done, and what was left with its way out."""

    done: Sequence[str] = ()
    left: Sequence[str] = ()


def _file(root: Path) -> Path:
    return root / ".cache" / "publish" / "last.json"


def note(root: Path, done: Sequence[str], left: Sequence[str]) -> None:
    """Note what was done and what was left."""
    write_json(_file(root), Noted(done, left))


def last(root: Path) -> Noted:
    """What the last publishing noted; nothing where there was none, or its note cannot be read."""
    if not _file(root).is_file():
        return Noted()
    try:
        return read_json(_file(root), Noted)
    except DataError:
        return Noted()
