"""JSON, JSON lines and curves on disk, written completely or not at all, with the nouns as rows."""

import csv
import dataclasses
import hashlib
import io
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from genarm.errors import DataError
from genarm.system.metric_names import STEP

T = TypeVar("T")


def sha256(path: Path) -> str:
    """Hex sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_text(path: Path, text: str) -> None:
    """Write a file beside it, flush it to disk, rename it: a crash leaves the old text or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with beside.open("w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """A value, a noun or a list of nouns as indented JSON with sorted keys."""
    write_text(path, to_json(value) + "\n")


def to_json(value: Any) -> str:
    """The text that `write_json` writes."""
    return json.dumps(value, default=_plain, indent=2, sort_keys=True, ensure_ascii=False)


def read_json(path: Path, kind: type[T]) -> T:
    """The value of a JSON file, checked to be a `kind`. Raises DataError naming file and field."""
    with missing_told(path):
        content = path.read_bytes()
    try:
        return TypeAdapter(kind).validate_json(content)
    except ValidationError as error:
        raise _altered(str(path), error) from None


def read_value(value: object, kind: type[T], where: str) -> T:
    """Plain JSON values as a `kind`. Raises DataError naming `where` they stood and the field."""
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        raise _altered(where, error) from None


def write_rows(path: Path, rows: Iterable[Any]) -> None:
    """Nouns as JSON lines, in the order given."""
    write_text(path, "".join(json.dumps(row, default=_plain, ensure_ascii=False) + "\n" for row in rows))


def read_rows(path: Path, kind: type[T]) -> list[T]:
    """The rows of a JSON-lines file as nouns. Raises DataError naming file, row (from 1) and field."""
    return list(iter_rows(path, kind))


def iter_rows(path: Path, kind: type[T]) -> Iterator[T]:
    """The rows of a JSON-lines file one at a time, for large files. Raises what `read_rows` raises."""
    adapter = TypeAdapter(kind)
    with missing_told(path):
        file = path.open("rb")
    with file:
        for number, line in enumerate(file, start=1):
            try:
                yield adapter.validate_json(line)
            except ValidationError as error:
                raise _damaged(path, number, _first(error)) from None


def write_curves(path: Path, rows: Iterable[Mapping[str, float]]) -> None:
    """Rows of named numbers as CSV; a row may lack some of them.

    Columns are sorted: a training that resumed from a checkpoint has the same names in another order, and has
    to write the same file.
    """
    rows, text = list(rows), io.StringIO(newline="")
    writer = csv.DictWriter(text, sorted({name for row in rows for name in row}))
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


def read_curves(path: Path) -> list[dict[str, float]]:
    """The rows of a training's curves; empty cells are left out. Raises DataError naming file and row."""
    with missing_told(path):
        content = path.read_bytes()
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _damaged(path, content[: error.start].count(b"\n") + 1, "it is not UTF-8") from None
    if not text.endswith("\n"):
        raise _damaged(path, text.count("\n") + 1, "the file was cut short")
    rows: list[dict[str, float]] = []
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        if reader.fieldnames and STEP not in reader.fieldnames:
            raise ValueError(f"the header names no column {STEP!r}")
        for row in reader:
            if len(row) != len(reader.fieldnames or ()) or None in row.values():
                raise ValueError("it has another number of cells than the header")
            rows.append({name: float(cell) for name, cell in row.items() if cell})
    except (csv.Error, ValueError) as error:
        raise _damaged(path, reader.line_num, str(error)) from None
    return rows


@contextmanager
def missing_told(path: Path) -> Iterator[None]:
    """Turn the absence of a file that a stage writes into a DataError that names it."""
    try:
        yield
    except FileNotFoundError:
        raise DataError(f"no file at {path}", hint="run the stage that writes it: dvc repro") from None
    except (IsADirectoryError, NotADirectoryError) as error:
        raise DataError(
            f"{path} is no file: {error.strerror}", hint="remove what is in its place, then: dvc repro"
        ) from None


def _damaged(path: Path, row: int, reason: str) -> DataError:
    return DataError(f"{path}, row {row}: {reason}", hint="re-run its stage, or restore it: dvc checkout")


def _altered(where: str, error: ValidationError) -> DataError:
    return DataError(f"{where}: {_first(error)}", hint="the file was altered or is of another version")


def _first(error: ValidationError) -> str:
    item = error.errors()[0]
    where = ".".join(str(part) for part in item["loc"])
    return f"{where}: {item['msg']}" if where else item["msg"]


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} is no JSON value")
