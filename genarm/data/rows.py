"""The rows of data files, one at a time: .jsonl, .jsonl.gz, .json (one array), .csv and .parquet.

What a row means is not known here. A line that is not JSON, or in which a key stands twice, becomes a refused
row; a file that cannot be read to its end stops everything, since nobody can tell which rows are missing.
"""

import gzip
import hashlib
import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any

from genarm.data.columns import listed, shown
from genarm.data.parquet import read_parquet
from genarm.data.refused import Refused
from genarm.data.tables import read_csv
from genarm.errors import DataError

SUFFIXES = (".jsonl", ".jsonl.gz", ".json", ".csv", ".parquet")
LFS_POINTER = b"version https://git-lfs.github.com/spec/"
ONE_A_LINE = "a .jsonl file holds one object a line, a .json file one array of them"
Reader = Callable[[IO[bytes] | gzip.GzipFile, str], Iterator["RawRow"]]
NO_COLUMNS: Mapping[str, str] = MappingProxyType({})
NOT_READ = "not read"  # stands for the cells of a column that was not opened


@dataclass(frozen=True, slots=True)
class RawRow:
    """One row of a file: its file below data/, its number from 1, the hash of its bytes, its value."""

    file: str
    number: int
    sha256: str
    value: object  # Refused where the bytes are not JSON, or where a key stands twice


def read_file(path: Path, name: str, columns: Mapping[str, str] = NO_COLUMNS) -> Iterator[RawRow]:
    """The rows of one file, under `name`. Raises DataError where it is cut short or not of its type.

    `columns` says which columns of Parquet are opened beside those that formats read, by part of the pair.
    """
    try:
        with path.open("rb") as plain:
            _check_start(plain.peek(64)[:64], name)
            if path.suffix == ".parquet":
                yield from _parquet(path, name, columns)
                return
            if path.suffix == ".csv":
                yield from _csv(path, name)
                return
            read: Reader = _array if path.suffix == ".json" else _lines
            # gzip by content, not by name: a renamed download is read all the same
            if plain.peek(2)[:2] == b"\x1f\x8b":
                with gzip.open(plain) as unpacked:
                    yield from read(unpacked, name)
            else:
                yield from read(plain, name)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{name} is cut short or damaged: {error}", hint="fetch the file again") from None


def _check_start(start: bytes, name: str) -> None:
    """Raise DataError where the first bytes of a file tell that all of it would be refused, row by row."""
    if start.startswith(LFS_POINTER):
        raise DataError(f"{name} is a pointer of Git LFS, not the data", hint="get the data: git lfs pull")
    wide = 32 in (start[::2].count(0), start[1::2].count(0))  # every second byte of plain English is 0
    if start.startswith((b"\xff\xfe", b"\xfe\xff")) or wide:
        raise DataError(f"{name} is in UTF-16 or UTF-32", hint="save it in UTF-8")


def _lines(file: Iterable[bytes], name: str) -> Iterator[RawRow]:
    for number, line in enumerate(file, start=1):
        line = line.rstrip(b"\r\n")
        if line.strip():
            yield RawRow(name, number, hashlib.sha256(line).hexdigest(), _value(line, first=number == 1))


def _value(line: bytes, *, first: bool) -> object:
    try:
        return json.loads(line.decode("utf-8-sig" if first else "utf-8"), object_pairs_hook=_object)
    except Refused as twice:
        return twice
    except UnicodeDecodeError as error:
        return Refused("not UTF-8", f"at byte {error.start}")
    except json.JSONDecodeError as error:
        if line.strip() in (b"[", b"{"):
            return Refused("not JSON", ONE_A_LINE)
        return Refused("not JSON", f"{error.msg} at column {error.colno}")
    except (RecursionError, ValueError) as error:  # nested or long beyond what Python reads
        return Refused("not JSON", type(error).__name__)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON. Raises Refused where a key stands twice: nobody can tell which of them is meant."""
    value = dict(pairs)
    if len(value) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise Refused("a key stands twice", shown(twice))
    return value


def _object_or_refused(pairs: list[tuple[str, Any]]) -> dict[str, Any] | Refused:
    try:
        return _object(pairs)
    except Refused as twice:
        return twice


def _array(file: IO[bytes] | gzip.GzipFile, name: str) -> Iterator[RawRow]:
    try:
        text = file.read().decode("utf-8-sig")
        values = json.loads(text, object_pairs_hook=_object_or_refused)
    except UnicodeDecodeError as error:
        raise DataError(f"{name} is not UTF-8 at byte {error.start}", hint="save it in UTF-8") from None
    except json.JSONDecodeError as error:
        raise DataError(
            f"{name} is not JSON: {error.msg} at line {error.lineno}, column {error.colno}",
            hint="correct it, or write one object a line to a .jsonl file: then only broken rows are refused",
        ) from None
    except (RecursionError, ValueError) as error:
        raise DataError(f"{name} is not JSON: {type(error).__name__}", hint="correct the file") from None
    if not isinstance(values, list):
        found = f": one object that {listed(values)}" if isinstance(values, Mapping) else ""
        raise DataError(
            f"{name} holds no array of rows{found}",
            hint="write [row, row, ...] to a .json file, or one object a line to a .jsonl file",
        )
    for number, value in enumerate(values, start=1):
        sha256, twice = _hash(value)
        yield RawRow(name, number, sha256, twice or value)


def _csv(path: Path, name: str) -> Iterator[RawRow]:
    for number, value in enumerate(read_csv(path, name), start=1):
        yield RawRow(name, number, _hash(value)[0], value)


def _parquet(path: Path, name: str, columns: Mapping[str, str]) -> Iterator[RawRow]:
    for number, (value, unread) in enumerate(read_parquet(path, name, columns), start=1):
        # Columns that were not read stand in the row by name, so that they can be told.
        yield RawRow(name, number, _hash(value)[0], value | dict.fromkeys(unread, NOT_READ))


def _hash(value: object) -> tuple[str, Refused | None]:
    """The hash of a row of a file without lines, as JSON with sorted keys; a refused part of it, if any."""
    refused: list[Refused] = []

    def plain(part: object) -> str:
        if isinstance(part, Refused):
            refused.append(part)
        return str(part)

    try:
        text = json.dumps(value, sort_keys=True, default=plain)
    except (RecursionError, ValueError) as error:  # nested or long beyond what Python writes
        return hashlib.sha256(b"").hexdigest(), Refused("not JSON", type(error).__name__)
    return hashlib.sha256(text.encode()).hexdigest(), refused[0] if refused else None
