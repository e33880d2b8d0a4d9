"""The rows of a Parquet file, one dictionary each, with only those columns that row formats read.

A column that no format reads is not opened: it may hold what Python cannot represent, such as a date in the
year 300,000. In a column that is read, a cell like that becomes a Refused in its place.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genarm.data.columns import foreign
from genarm.data.mapping import missing_column, opened
from genarm.data.refused import Refused
from genarm.errors import DataError

if TYPE_CHECKING:
    from pyarrow import RecordBatch, Scalar

ROWS = 1000  # read together
NAME_COLUMNS = "columns: {prompt: ..., chosen: ..., rejected: ...} beside files: in params.yaml"
_UNREADABLE = (ValueError, LookupError, ArithmeticError, TypeError)


def read_parquet(
    path: Path, name: str, columns: Mapping[str, str]
) -> Iterator[tuple[dict[str, Any], tuple[str, ...]]]:
    """Each row and the names of the columns that were not read; `columns` names some that are read.

    Raises DataError where the file is damaged, has no column that is read, lacks one that is named, or has
    two of one name.
    """
    import pyarrow
    from pyarrow.parquet import ParquetFile

    try:
        with ParquetFile(path) as file:
            names = file.schema_arrow.names
            for part, column in columns.items():
                if column not in names:
                    raise missing_column(name, part, column, names)
            wanted = opened(names, columns)
            if twice := [column for column, n in Counter(wanted).items() if n > 1]:
                raise DataError(f"{name} has two columns {twice[0]!r}", hint="write it with one of them")
            unread = tuple(column for column in names if column not in wanted)
            if not wanted:
                why = foreign(dict.fromkeys(unread))
                raise DataError(
                    f"{name}: {why.reason}", hint=f"it {why.detail}; name its columns: {NAME_COLUMNS}"
                )
            count = 0
            for batch in file.iter_batches(batch_size=ROWS, columns=wanted):
                count += batch.num_rows
                # A name with a dot in it may have come along.
                yield from ((row, unread) for row in _rows(batch.select(wanted)))
            if count != file.metadata.num_rows:
                raise ValueError(f"{count} rows of {file.metadata.num_rows}")
    except (pyarrow.ArrowException, OSError, *_UNREADABLE) as error:
        raise DataError(
            f"{name}: no readable Parquet file: {_one_line(error)}", hint="fetch the file again"
        ) from None


def column_names(path: Path, name: str) -> list[str]:
    """The columns of a file. Raises DataError where it is no Parquet file."""
    import pyarrow
    from pyarrow.parquet import read_schema

    try:
        return list(dict.fromkeys(read_schema(path).names))
    except (pyarrow.ArrowException, OSError, *_UNREADABLE) as error:
        raise DataError(
            f"{name}: no readable Parquet file: {_one_line(error)}", hint="fetch the file again"
        ) from None


def _one_line(error: Exception) -> str:
    lines = str(error).encode(errors="backslashreplace").decode().splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__


def _rows(batch: "RecordBatch") -> list[dict[str, Any]]:
    try:
        return list(batch.to_pylist())
    except _UNREADABLE:
        columns = {name: [_plain(cell) for cell in batch.column(name)] for name in batch.schema.names}
        return [{name: cells[i] for name, cells in columns.items()} for i in range(batch.num_rows)]


def _plain(cell: "Scalar") -> object:
    """A cell as Python has it; where a part of it cannot be represented, a Refused stands for that part."""
    import pyarrow

    try:
        return cell.as_py()
    except _UNREADABLE as error:
        if isinstance(cell, pyarrow.StructScalar):
            return {key: _plain(part) for key, part in cell.items()}
        if isinstance(cell, pyarrow.ListScalar):
            return [_plain(part) for part in cell]
        if isinstance(error, UnicodeDecodeError):
            return Refused("not UTF-8", f"at byte {error.start} of a cell")
        return Refused("a cell that cannot be read", f"{cell.type}: {type(error).__name__}")
