"""Columns of other names: what a source's `columns` names is put where the row formats look for it.

It happens before a row is parsed, so that every format can be read from columns of any names.
"""

from collections.abc import Iterable, Mapping

from genarm.config import ColumnsConfig, nearest
from genarm.data.columns import READ, listed
from genarm.data.refused import Refused
from genarm.errors import DataError

PARTS = tuple(ColumnsConfig.model_fields)
PAIR = ("prompt", "chosen", "rejected")  # a row without one of them is no pair; the other parts may lack
EARLY = 1000  # rows after which a misspelt column is told, without reading the file to its end
REPLACED = "its own "  # before the name of a column in whose place another one is read
MOST_NAMES = 200  # of one file that are kept for a message


class ColumnMap:
    """The columns of one file: the part of a pair -> the column that holds it; empty where all are as usual.

    It remembers which columns it met: one that no row has is misspelt, though its part may be left out.
    """

    def __init__(self, columns: Mapping[str, str], file: str) -> None:
        self.columns = dict(columns)
        self.file = file
        self._rows = 0
        self._met: set[str] = set()
        self._names: dict[str, None] = {}

    def row(self, value: object) -> object:
        """A row with every part under its usual name; what is no object is returned as it is.

        Raises Refused where the row lacks the prompt or a response, DataError where all rows so far did.
        """
        if not self.columns or not isinstance(value, Mapping):
            return value
        self._rows += 1
        if len(self._names) < MOST_NAMES:
            self._names |= dict.fromkeys(value)
        moved = set(self.columns.values())
        self._met |= moved & value.keys()
        if self._rows == EARLY:
            self.check(PAIR)
        row = {
            f"{REPLACED}{name}" if name in self.columns else name: cell
            for name, cell in value.items()
            if name not in moved
        }
        for part, column in self.columns.items():
            if column in value:
                row[part] = value[column]
            elif part in PAIR:
                raise Refused(f"no column '{column}'", f"for {part}; {listed(value)}")
        return row

    def check(self, parts: Iterable[str] = PARTS) -> None:
        """Raise DataError where no row so far has the column of one of these parts."""
        for part in parts if self._rows else ():
            if part in self.columns and self.columns[part] not in self._met:
                raise missing_column(self.file, part, self.columns[part], self._names)


def opened(names: Iterable[str], columns: Mapping[str, str]) -> list[str]:
    """The columns of a file that are read: those that are named, and those that formats read anyway."""
    named = set(columns.values())
    return [name for name in names if name in named or (name in READ and name not in columns)]


def missing_column(file: str, part: str, column: str, names: Iterable[str]) -> DataError:
    """That a file has no column of the name that `columns` gives, with the nearest one that it has."""
    names = list(names)
    return DataError(
        f"{file} has no column {column!r}{nearest(column, names)}, which columns.{part} names",
        hint=f"it {listed(names)}; correct columns.{part}, which stands below data in params.yaml",
    )
