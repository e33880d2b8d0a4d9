"""A refresh from beginning to end: ask, fetch, check, compare, and make it the data version or hold it."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genarm.config import Params
from genarm.data import dvc
from genarm.intake import compare, held, record
from genarm.intake.compare import Change
from genarm.intake.gathering import Asked, Whole, ask_all, gather, is_the_same
from genarm.intake.held import Held
from genarm.intake.record import Record, Seen
from genarm.system.counted import counted

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True, slots=True)
class News:
    """What a refresh found: every source with its state, what came in or waits, and what is odd about it.

    `version` is the new data version, empty where there is none.
    """

    sources: Sequence[dict[str, Any]]
    version: str = ""
    changes: Sequence[Change] = ()
    held: Held | None = None
    told: Sequence[str] = ()

    @property
    def outcome(self) -> str:
        """What happened, in a few words."""
        if self.version:
            words = ("added", "gone", "changed", "flipped")
            sums = ", ".join(f"{sum(getattr(c, word) for c in self.changes)} {word}" for word in words)
            return f"version {self.version[:12]}" + (f": {sums}" if self.changes else "")
        if self.held:
            return f"waits for a person: {'; '.join(self.held.reasons)}"
        return "nothing new" if self.sources else "no dimension names a source"


def take_in(
    root: Path,
    params: Params,
    read_tokenizer: Callable[[], "PreTrainedTokenizerBase"],
    whole: Whole = str,
    flow_run: str = "",
) -> News:
    """Bring in what changed at the sources. Where anything fails, data/ and `data.dvc` stay as they were.

    Raises DataError, ConfigError or Unreachable for a source that cannot be read or does not suffice.
    """
    asked = ask_all(root, params, whole)
    if known := _known(root, asked):
        return known
    sources = [_row(one) for one in asked]
    new, data = held.folder(root) / "new", root / "data"
    try:
        records = gather(root, params, asked, new)
        if data.is_dir() and is_the_same(new, data):
            _note(root, asked, records)
            return News(sources)
        now = compare.read(new, params, read_tokenizer())
        compare.check(now, root)
        before, told = compare.read_before(data, params, read_tokenizer()) if data.is_dir() else ({}, [])
        changes = [compare.compare(before[d], now[d]) for d in now if d in before]
        if reasons := [line for change in changes for line in change.worse(params.data)]:
            since = datetime.now(UTC).isoformat(timespec="seconds")
            version = dvc.data_version(root) or ""
            waits = Held(since, version, tuple(reasons), tuple(changes), tuple(records), flow_run)
            held.hold(root, new, waits)
            return News(sources, changes=changes, held=waits, told=told)
        version = held.come_in(root, new, records)
        shutil.rmtree(held.folder(root) / "held", ignore_errors=True)  # it was compared with the old version
        return News(sources, version, changes, told=told)
    finally:
        for name in ("new", "fetched"):
            shutil.rmtree(held.folder(root) / name, ignore_errors=True)


def ask_only(root: Path, params: Params, whole: Whole = str) -> News | None:
    """What a refresh would find if nothing is to be fetched, else None. Raises as `take_in`."""
    return _known(root, ask_all(root, params, whole))


def _known(root: Path, asked: Sequence[Asked]) -> News | None:
    sources, waiting = [_row(one) for one in asked], held.waiting(root)
    if not any(one.is_taken for one in asked):
        return News(sources, told=[_refused(one) for one in asked if one.state == "refused"])
    if waiting and _waits_already(asked, waiting, dvc.data_version(root) or ""):
        return News(sources, held=waiting)
    return None


def _note(root: Path, asked: Sequence[Asked], records: Sequence[Record]) -> None:
    """The same bytes under other marks: noted here; in `data.dvc` only where it knows no such source."""
    if any(one.is_taken and one.before is None for one in asked):
        record.write(root, records)
        return
    marks = {record.name_of(row): row.mark for row in records}
    recorded = {record.name_of(one.before): one.before.mark for one in asked if one.is_taken and one.before}
    record.note(root, {name: Seen(mark, marks[name]) for name, mark in recorded.items()})


def _waits_already(asked: Sequence[Asked], waiting: Held, version: str) -> bool:
    """Whether exactly these files wait, compared with this version."""
    marks = {record.name_of(row): row.mark for row in waiting.records}
    return waiting.version == version and all(
        one.listing.mark and marks.get(record.name_of(one.origin)) == one.listing.mark
        for one in asked
        if one.is_taken
    )


def _row(one: Asked) -> dict[str, Any]:
    return {
        "source": one.origin.source,
        "dimensions": ", ".join(one.origin.dimensions),
        "state": one.state,
        "files": counted(len(one.listing.files), "file") if one.listing.files else one.listing.mark[:12],
    }


def _refused(one: Asked) -> str:
    return f"{one.origin.key}: as it is now it was refused {one.seen.refused if one.seen else ''}"
