"""The rows of a CSV file: the first line names the columns, commas separate them, every cell is text."""

import csv
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from genarm.data.refused import Refused
from genarm.errors import DataError

OTHER_SEPARATORS = (";", "\t", "|")


def read_csv(path: Path, name: str) -> Iterator[dict[str, str] | Refused]:
    """Each row by column; a row with more or fewer cells than there are columns is a Refused.

    Raises DataError where the file is not UTF-8, has two columns of one name, another separator than the
    comma, or a quotation mark that nothing closes.
    """
    csv.field_size_limit(sys.maxsize)  # the library's own limit, 128 KiB, is for all readers of a process
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            _check_columns(list(reader.fieldnames or ()), name)
            for row in reader:
                if None in row:
                    yield Refused("more cells than columns")
                elif None in row.values():
                    yield Refused("fewer cells than columns")
                else:
                    yield row
    except csv.Error as error:
        raise DataError(
            f"{name} is no CSV that can be read to its end: {error}",
            hint="correct the quotation marks: a cell with a quotation mark is quoted, and the mark doubled",
        ) from None
    except UnicodeDecodeError as error:
        raise DataError(f"{name} is not UTF-8 at byte {error.start}", hint="save it in UTF-8") from None


def _check_columns(names: list[str], name: str) -> None:
    for sign in OTHER_SEPARATORS:
        if len(names) == 1 and sign in names[0]:
            raise DataError(
                f"{name} has one column by commas; {sign!r} seems to separate its columns",
                hint=f"pandas.read_csv({name!r}, sep={sign!r})"
                ".to_json('pairs.jsonl', orient='records', lines=True)",
            )
    if twice := [column for column, n in Counter(names).items() if n > 1]:
        raise DataError(f"{name} has two columns {twice[0]!r}", hint="write it with one of them")
