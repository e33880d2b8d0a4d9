"""Files of pairs that people judged, in any format of the data: chosen is what they preferred."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from genarm.config import SourceConfig, nearest
from genarm.data.formats import parse
from genarm.data.mapping import ColumnMap
from genarm.data.recognise import recognise, recognised
from genarm.data.refused import Refused
from genarm.data.rows import read_file
from genarm.errors import DataError
from genarm.system.files import sha256
from genarm.types import PreferencePair


@dataclass(frozen=True, slots=True)
class HumanPairs:
    """The pairs of one file, each with the subset that it belongs to, and the rows that were refused."""

    file: str
    sha256: str
    pairs: list[PreferencePair]
    subsets: list[str]  # one a pair; empty where none are asked for
    refused: Mapping[str, int]  # reason -> rows


def read_pairs(file: Path, source: SourceConfig, by: str | None = None) -> HumanPairs:
    """Read a file; its columns are those of the source or, where these do not fit, such as can be recognised.

    `by` names a column whose values are subsets. Raises DataError where there is no pair, or no such column.
    """
    found = recognised(file, file.name, source.columns.by_part())
    columns = ColumnMap((found if found.format else recognise(file, file.name)).columns, file.name)
    pairs, subsets, refused = list[PreferencePair](), list[str](), Counter[str]()
    names: dict[str, None] = {}
    opened = columns.columns | ({"by": by} if by else {})
    for row in read_file(file, file.name, opened):
        try:
            pairs.append(parse(columns.row(row.value), preferred=source.preferred))
        except Refused as why:
            refused[why.reason] += 1
            continue
        if by:
            value = row.value if isinstance(row.value, Mapping) else {}
            names |= dict.fromkeys(map(str, value))
            subsets.append(str(value.get(by, "")))
    if not pairs:
        reasons = ", ".join(f"{reason} ({n})" for reason, n in refused.most_common(3)) or "it has no rows"
        raise DataError(f"{file.name} holds no preference pair: {reasons}", hint=found.hint or "name another")
    if by and by not in names:
        raise DataError(
            f"{file.name} has no column {by!r}{nearest(by, names)}", hint=f"it has {', '.join(names)}"
        )
    return HumanPairs(file.name, sha256(file), pairs, subsets, dict(refused))
