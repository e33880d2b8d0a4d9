"""What data/ was made of: each source with its mark and its files, kept in `data.dvc` below `meta`.

There it belongs to the data version, wherever git takes it. What this clone alone knows is beside it, in the
cache: that other marks stand for the same bytes, such as times of change, which ones a person refused, and
when each source was last asked.
"""

import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from genarm.data.dvc_lock import POINTER
from genarm.intake.origins import Origin
from genarm.system.files import read_json, read_value, write_json, write_text
from genarm.system.redact import redact

META, OURS = "meta", "genarm"


@dataclass(frozen=True, slots=True)
class Record:
    """What a source had when the data version was made: its mark, and its files by their names in data/."""

    source: str
    folder: str
    mark: str
    files: tuple[str, ...]

    def is_of(self, origin: Origin) -> bool:
        """Whether it is the record of this source."""
        return (self.source, self.folder) == (origin.source, origin.folder)


@dataclass(frozen=True, slots=True)
class Seen:
    """A mark that this clone met later: the same bytes as at the recorded mark, or refused by a person."""

    recorded: str
    mark: str
    refused: str = ""  # by whom, when and why


@dataclass(frozen=True, slots=True)
class Answered:
    """When a source was last asked, and what came of it: its state, or why it could not be asked."""

    at: str
    state: str


def read(root: Path) -> list[Record]:
    """The records of the data version; none where it was made from one source by hand."""
    pointer = _pointer(root)
    rows = ((pointer.get(META) or {}).get(OURS) or {}).get("sources") or []
    return read_value([dict(row) for row in rows], list[Record], POINTER)


def write(root: Path, records: Iterable[Record]) -> None:
    """Put the records into `data.dvc`, which DVC has just written."""
    pointer = _pointer(root)
    rows = [
        {"source": r.source, "folder": r.folder, "mark": r.mark, "files": sorted(r.files)} for r in records
    ]
    pointer[META] = {**(pointer.get(META) or {}), OURS: {"sources": rows}}
    text, yaml = io.StringIO(), YAML()
    yaml.dump(pointer, text)
    write_text(root / POINTER, text.getvalue())


def seen(root: Path) -> dict[str, Seen]:
    """What this clone met since, by `name_of` a source."""
    path = _seen(root)
    return read_json(path, dict[str, Seen]) if path.is_file() else {}


def note(root: Path, marks: Mapping[str, Seen]) -> None:
    """Keep what this clone met, beside what it knows already."""
    if marks:
        write_json(_seen(root), seen(root) | dict(marks))


def answered(root: Path) -> dict[str, Answered]:
    """When this clone last asked each source, by `name_of` it."""
    path = _answered(root)
    return read_json(path, dict[str, Answered]) if path.is_file() else {}


def note_answers(root: Path, states: Mapping[str, str]) -> None:
    """Note that sources were asked now; those that are not among them are no sources any more."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    write_json(_answered(root), {name: Answered(now, redact(state)) for name, state in states.items()})


def name_of(origin: Origin | Record) -> str:
    """How a source is called in the cache."""
    return f"{origin.folder}/ from {origin.source}"


def _seen(root: Path) -> Path:
    return root / ".cache" / "intake" / "seen.json"


def _answered(root: Path) -> Path:
    return root / ".cache" / "intake" / "answered.json"


def _pointer(root: Path) -> Any:
    path = root / POINTER
    return YAML().load(path.read_text(encoding="utf-8")) if path.is_file() else {}
