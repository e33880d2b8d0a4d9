"""New data, gathered beside the data in use: what changed is fetched, everything else is taken over."""

import filecmp
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from genarm.config import Params
from genarm.data.dvc import data_version, pull_data
from genarm.data.files import find_files
from genarm.errors import ConfigError, DataError, GenarmError, Unreachable
from genarm.intake import record
from genarm.intake.origins import Listing, Origin, ask, fetch, origins
from genarm.intake.record import Record, Seen

TRIES = 3  # of a source that changes while it is read
Whole = Callable[[str], str]  # the address behind env://NAME and secret://NAME


@dataclass(frozen=True, slots=True)
class Asked:
    """A source, what it holds now, and what it had when the data version was made, if it is part of it."""

    origin: Origin
    listing: Listing
    before: Record | None
    seen: Seen | None

    @property
    def state(self) -> str:
        """`unchanged`, `changed`, `new`, `refused` by a person, `unknown` where the source does not tell."""
        mark, recorded = self.listing.mark, self.before.mark if self.before else ""
        if mark and self.seen and (self.seen.recorded, self.seen.mark) == (recorded, mark):
            return "refused" if self.seen.refused else "unchanged"
        if self.before is None:
            return "new"
        if not mark:
            return "unknown"
        return "unchanged" if mark == recorded else "changed"

    @property
    def is_taken(self) -> bool:
        """Whether its files have to be fetched."""
        return self.state not in ("unchanged", "refused")


def ask_all(root: Path, params: Params, whole: Whole = str) -> list[Asked]:
    """What every source holds now, next to what it had. Nothing is fetched; when they were asked is noted.

    Raises DataError or Unreachable with all that keeps sources from being asked, each by its parameter.
    """
    records, met = record.read(root), record.seen(root)
    asked: list[Asked] = []
    failed: list[tuple[Origin, GenarmError]] = []
    for origin in origins(params):
        before = next((r for r in records if r.is_of(origin)), None)
        try:
            listing = ask(whole(origin.source), root, params.feedback)
        except GenarmError as error:
            failed.append((origin, _with_loss(error, before)))
        else:
            asked.append(Asked(origin, listing, before, met.get(record.name_of(origin))))
    states = {record.name_of(one.origin): one.state for one in asked}
    states |= {record.name_of(origin): f"failed: {error.message}" for origin, error in failed}
    if states:
        record.note_answers(root, states)
    if failed:
        raise _all(failed)
    return asked


def gather(root: Path, params: Params, asked: Sequence[Asked], new: Path) -> list[Record]:
    """Build in an empty folder what data/ is to be, and return what it is made of.

    Files of sources that did not change, and of dimensions without a source, are those in data/ now. What
    a dimension read and its source no longer has is left out.

    Raises DataError where two sources have a file of one name, or one holds nothing; Unreachable where one
    changes each time it is read.
    """
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    data, records = root / "data", []
    if data_version(root) and not data.exists():
        pull_data(root)
    kept = _kept(data, params, asked, record.read(root))
    for name in sorted(kept):
        _place(data / name, new / name)
    for one in asked:
        if not one.is_taken:
            records += [one.before] if one.before else []
            continue
        beside = new.with_name("fetched")
        listing = _fetch(root, params, one, beside)
        names = sorted(f.relative_to(beside).as_posix() for f in beside.rglob("*") if f.is_file())
        if not names:
            raise _all([(one.origin, _with_loss(DataError("it holds no data file"), one.before))])
        placed = [f"{one.origin.folder}/{name}".lstrip("/") for name in names]
        for name, place in zip(names, placed, strict=True):
            if (new / place).exists():
                raise DataError(
                    f"{one.origin.key} has a file {place}, and so has another source",
                    hint="name a folder of its own in `files`, such as files: helpful/*.jsonl",
                )
            (new / place).parent.mkdir(parents=True, exist_ok=True)
            (beside / name).rename(new / place)
        records.append(Record(one.origin.source, one.origin.folder, listing.mark, tuple(placed)))
    return records


def is_the_same(new: Path, data: Path) -> bool:
    """Whether two folders hold the same files, byte for byte."""
    names = {f.relative_to(new) for f in new.rglob("*") if f.is_file()}
    if names != {f.relative_to(data) for f in data.rglob("*") if f.is_file()}:
        return False
    return all(filecmp.cmp(new / name, data / name, shallow=False) for name in names)


def _kept(data: Path, params: Params, asked: Sequence[Asked], records: Iterable[Record]) -> set[str]:
    """The files of data/ that stay: all but those of sources that are fetched, or named no more."""
    there = {f.relative_to(data).as_posix() for f in data.rglob("*") if f.is_file()}
    stays = {name for one in asked if not one.is_taken and one.before for name in one.before.files}
    goes = {name for r in records for name in r.files}
    taken = {d for one in asked if one.is_taken for d in one.origin.dimensions}
    for dimension, config in params.dimensions.items():
        if not config.data.sources:
            stays |= _matched(data, config.data.files)
        elif dimension in taken:
            goes |= _matched(data, config.data.files)
    return there - (goes - stays)


def _matched(data: Path, pattern: str) -> set[str]:
    try:
        return {f.relative_to(data).as_posix() for f in find_files(data, pattern, tell=False)}
    except (DataError, ConfigError):  # none matches: the check of the new data tells what that means
        return set()


def _fetch(root: Path, params: Params, one: Asked, folder: Path) -> Listing:
    """Fetch a source, again where it changed in the meantime; returns what it held."""
    listing = one.listing
    for _ in range(TRIES):
        shutil.rmtree(folder, ignore_errors=True)
        try:
            fetch(listing, folder, root, params.feedback)
            after = ask(listing.address, root, params.feedback)
        except GenarmError as error:
            raise _all([(one.origin, _with_loss(error, one.before))]) from None
        if (after.mark, after.files) == (listing.mark, listing.files):
            return listing
        listing = after
    raise Unreachable(
        f"{one.origin.key}: it changes while it is read, {TRIES} times in a row",
        hint="refresh when nobody writes it, or have it written under another name and renamed",
    )


def _place(file: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, target)


def _with_loss(error: GenarmError, before: Record | None) -> GenarmError:
    """An error, with what the source had, if it had something."""
    if before is None or not isinstance(error, DataError):
        return error
    count = len(before.files)
    had = f"; the data version has {count} file{'s' if count > 1 else ''} of it, which stay"
    return type(error)(f"{error.message}{had}", hint=error.hint)


def _all(failed: Sequence[tuple[Origin, GenarmError]]) -> GenarmError:
    """Several errors as one: retryable only if all of them are."""
    message = "; ".join(f"{origin.key}: {error.message}" for origin, error in failed)
    hints = dict.fromkeys(error.hint for _, error in failed if error.hint)
    kind = Unreachable if all(error.retryable for _, error in failed) else DataError
    return kind(message, hint="; ".join(hints))
