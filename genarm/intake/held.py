"""New data that waits for a person, in `.cache/intake/held`: its files, what they would change, and why.

It comes in with the hash of the version that it was compared with: where that is no longer in use, it has to
be compared anew.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from genarm.data import dvc
from genarm.errors import DataError
from genarm.intake import record
from genarm.intake.compare import Change
from genarm.intake.record import Record, Seen
from genarm.system.files import read_json, write_json


@dataclass(frozen=True, slots=True)
class Held:
    """What waits, for what reasons, and what it would change.

    `version` is the data version that it was compared with, `flow_run` the run that may wait with it.
    """

    since: str
    version: str
    reasons: tuple[str, ...]
    changes: tuple[Change, ...]
    records: tuple[Record, ...]
    flow_run: str = ""


def folder(root: Path) -> Path:
    """Where new data is gathered and held."""
    return root / ".cache" / "intake"


def hold(root: Path, new: Path, held: Held) -> None:
    """Keep gathered data, in the place of what waited before."""
    beside, place = folder(root) / "held.new", folder(root) / "held"
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    new.rename(beside / "data")
    write_json(beside / "held.json", held)
    shutil.rmtree(place, ignore_errors=True)
    beside.rename(place)


def waiting(root: Path) -> Held | None:
    """What waits, if anything does."""
    path = folder(root) / "held" / "held.json"
    return read_json(path, Held) if path.is_file() else None


def take(root: Path) -> tuple[str, Held]:
    """Make what waits the data version, and return that.

    Raises DataError where nothing waits, or where it was compared with another version than is in use.
    """
    held = _some(root)
    if (now := dvc.data_version(root) or "") != held.version:
        shutil.rmtree(folder(root) / "held")
        raise DataError(
            f"the data that waited was compared with version {held.version[:12] or 'none'}, "
            f"and {now[:12] or 'none'} is in use",
            hint="compare it anew: genarm refresh",
        )
    version = come_in(root, folder(root) / "held" / "data", held.records)
    shutil.rmtree(folder(root) / "held")
    return version, held


def refuse(root: Path, who: str) -> Held:
    """Drop what waits; its sources are not fetched again until they change. `who` says by whom and why."""
    held, marks = _some(root), {}
    before = {record.name_of(r): r.mark for r in record.read(root)}
    for row in held.records:
        name = record.name_of(row)
        if row.mark and before.get(name) != row.mark:
            marks[name] = Seen(before.get(name, ""), row.mark, who)
    record.note(root, marks)
    shutil.rmtree(folder(root) / "held")
    return held


def come_in(root: Path, new: Path, records: Sequence[Record]) -> str:
    """Make a gathered folder the data version, with what it is made of."""
    version = dvc.set_data(root, str(new))
    record.write(root, records)
    return version


def _some(root: Path) -> Held:
    held = waiting(root)
    if held is None:
        raise DataError("no data waits for a person", hint="new data comes in by: genarm refresh")
    return held
