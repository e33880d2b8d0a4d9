"""The rows of data files, one at a time: .jsonl, .jsonl.gz, .json (one array) and .parquet.

What a row means is not known here. A line that is not JSON becomes a refused row; a file that cannot be read
to its end stops everything, since nobody can tell which rows are missing.
"""

import gzip
import hashlib
import json
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from genarm.data.formats import Refused
from genarm.errors import ConfigError, DataError

SUFFIXES = (".jsonl", ".jsonl.gz", ".json", ".parquet")


@dataclass(frozen=True, slots=True)
class RawRow:
    """One row of a file: its file below data/, its number from 1, the hash of its bytes, its value."""

    file: str
    number: int
    sha256: str
    value: object  # Refused where the bytes are not JSON


def find_files(data: Path, pattern: str) -> list[Path]:
    """The data files below `data` that match a glob, sorted by path.

    Raises DataError where none matches or another file does, ConfigError for a pattern that is no glob or
    leads out of `data`.
    """
    if Path(pattern).is_absolute() or ".." in Path(pattern).parts:
        raise ConfigError(f"files: {pattern!r} leads out of data/", hint="name a glob below data/")
    try:
        files = sorted(f for f in data.glob(pattern) if f.is_file())
    except (ValueError, IndexError) as error:  # '', '.', and before Python 3.13 '**.jsonl'
        raise ConfigError(f"files: {pattern!r} is no glob: {error}", hint="such as '**/*.jsonl'") from None
    if not files:
        existing = sorted(f.relative_to(data).as_posix() for f in data.rglob("*") if f.is_file())
        raise DataError(
            f"no data file matches {pattern!r}",
            hint=f"there are: {', '.join(existing[:8])}"
            if existing
            else "fetch the data: dvc repro data.dvc",
        )
    if others := [f for f in files if not f.name.endswith(SUFFIXES)]:
        raise DataError(
            f"{others[0].name} is no data file",
            hint=f"known are {', '.join(SUFFIXES)}; narrow the glob {pattern!r}",
        )
    return files


def read_file(path: Path, name: str) -> Iterator[RawRow]:
    """The rows of one file, under `name`. Raises DataError where it is cut short or not of its type."""
    try:
        if path.suffix == ".parquet":
            yield from _parquet(path, name)
        elif path.suffix == ".json":
            yield from _array(path, name)
        else:
            with path.open("rb") as plain:
                # gzip by content, not by name: a renamed download is read all the same
                if plain.peek(2)[:2] == b"\x1f\x8b":
                    with gzip.open(plain) as unpacked:
                        yield from _lines(unpacked, name)
                else:
                    yield from _lines(plain, name)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{name} is cut short or damaged: {error}", hint="fetch the file again") from None


def _lines(file: Iterable[bytes], name: str) -> Iterator[RawRow]:
    for number, line in enumerate(file, start=1):
        line = line.rstrip(b"\r\n")
        if line.strip():
            yield RawRow(name, number, hashlib.sha256(line).hexdigest(), _value(line, first=number == 1))


def _value(line: bytes, *, first: bool) -> object:
    try:
        return json.loads(line.decode("utf-8-sig" if first else "utf-8"))
    except UnicodeDecodeError as error:
        return Refused("not UTF-8", f"at byte {error.start}")
    except json.JSONDecodeError as error:
        return Refused("not JSON", f"{error.msg} at column {error.colno}")
    except (RecursionError, ValueError) as error:  # nested or long beyond what Python reads
        return Refused("not JSON", type(error).__name__)


def _array(path: Path, name: str) -> Iterator[RawRow]:
    try:
        values = json.loads(path.read_bytes().decode("utf-8-sig"))
    except json.JSONDecodeError as error:
        raise DataError(
            f"{name} is not JSON: {error.msg} at line {error.lineno}, column {error.colno}",
            hint="correct it, or write one object a line to a .jsonl file: then only broken rows are refused",
        ) from None
    except (RecursionError, ValueError) as error:
        raise DataError(f"{name} is not JSON: {type(error).__name__}", hint="correct the file") from None
    if not isinstance(values, list):
        raise DataError(
            f"{name} holds no array of rows", hint="a .json file is one array; else name it .jsonl"
        )
    yield from (_row(name, number, value) for number, value in enumerate(values, start=1))


def _parquet(path: Path, name: str) -> Iterator[RawRow]:
    import pyarrow
    import pyarrow.parquet

    number = 0
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=1000):
                for value in batch.to_pylist():
                    number += 1
                    yield _row(name, number, value)
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{name}: no readable Parquet file: {error}", hint="fetch the file again") from None


def _row(name: str, number: int, value: object) -> RawRow:
    """A row of a file without lines: its hash is that of its JSON with sorted keys."""
    text = json.dumps(value, sort_keys=True, default=str)
    return RawRow(name, number, hashlib.sha256(text.encode()).hexdigest(), value)
