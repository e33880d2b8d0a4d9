"""Preference data for a new project: what each dimension reads, found out before anything is written."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from genarm.data.files import gathered, listed
from genarm.data.formats import Label
from genarm.data.other_files import is_plainly_none, way_out
from genarm.data.recognise import JOIN, NO_PAIRS, Recognised, recognised
from genarm.data.rows import SUFFIXES
from genarm.errors import ConfigError, DataError
from genarm.operations.data_files import assigned, dimensions_of, glob_for

# PKU rows have a label for each of two questions; which one a dimension asks is told by its name.
LABEL_OF: Mapping[str, Label] = {
    "help": "better_response_id",
    "better": "better_response_id",
    "harm": "safer_response_id",
    "safe": "safer_response_id",
}
NAMED = (NO_PAIRS, JOIN)  # what the right names of the columns may help


@dataclass(frozen=True, slots=True)
class DimensionData:
    """What one dimension reads: a glob below data/, the columns of other names, and the label of PKU rows."""

    dimension: str
    files: str
    columns: Mapping[str, str]
    preferred: Label | None
    told: Sequence[str]  # for people: how each file is read, and what of it is not


@dataclass(frozen=True, slots=True)
class FoundData:
    """The data of all dimensions, and the files of the source that none of them reads."""

    dimensions: Sequence[DimensionData]
    left: Sequence[str]


@contextmanager
def local(source: str) -> Iterator[str]:
    """A source as a path: itself, or a folder for the time being, into which a URL or hub id is fetched."""
    if "://" not in source:
        yield source
        return
    from genarm.data.dvc import gather

    with TemporaryDirectory(prefix="genarm-") as folder:
        fetched = Path(folder) / "fetched"
        fetched.mkdir()
        gather(Path(folder), source, fetched)
        yield str(fetched)


def find(source: str, dimensions: Sequence[str], columns: Mapping[str, str]) -> FoundData:
    """How a path, folder or glob is read, by dimension: given ones, or those that names suggest.

    The columns of the pairs are those of `columns`, or such as are found.

    Raises DataError where there is no data, a dimension has none, or a file is of no known format.
    """
    files = {name.as_posix(): path for name, path in gathered(source, tell=False).items()}
    names = [name for name in files if name.endswith(SUFFIXES) and not is_plainly_none(name)]
    if not names:
        raise DataError(
            f"{source} holds no preference data, only {listed(list(files))}",
            hint=way_out(list(files), SUFFIXES),
        )
    read = {name: recognised(files[name], name, columns) for name in names}
    by_dimension = _by_dimension(read, dimensions)
    taken = {name for members in by_dimension.values() for name in members}
    candidates = [name for name in files if not is_plainly_none(name)]  # a glob passes the others over
    return FoundData(
        [
            _checked(dimension, [read[name] for name in members], glob_for(members, dimension, candidates))
            for dimension, members in by_dimension.items()
        ],
        [name for name in files if name not in taken],
    )


def _by_dimension(read: Mapping[str, Recognised], dimensions: Sequence[str]) -> dict[str, list[str]]:
    """The files of each dimension; PKU rows hold two dimensions, so they may be read for each of both."""
    names = list(read)
    if not dimensions:
        return dimensions_of(names)
    if len(dimensions) > 1 and all(len(file.labels) > 1 for file in read.values()):
        return dict.fromkeys(dimensions, names)
    return assigned(names, dimensions)


def _checked(dimension: str, files: Sequence[Recognised], pattern: str) -> DimensionData:
    """The files of one dimension, once all are known to be read in one way."""
    if unknown := [file for file in files if file.format is None]:
        more = f" ({len(unknown) - 1} more files cannot be read either)" if len(unknown) > 1 else ""
        first, named = unknown[0], "--columns prompt=NAME,chosen=NAME,rejected=NAME"
        why = first.why if first.why.startswith(first.file) else f"{first.file} cannot be read: {first.why}"
        raise DataError(
            f"{why}{more}",
            hint=f"{first.hint}; or name them: {named}"
            if first.hint in NAMED
            else first.hint or "leave it out",
        )
    first = files[0]
    if other := next((file for file in files if file.columns != first.columns), None):
        raise DataError(
            f"the files of {dimension!r} have different columns: {first}; {other}",
            hint="give them the same ones, or name two dimensions",
        )
    labels = set(first.labels).intersection(*(file.labels for file in files))
    preferred = _label(dimension, labels, first.file) if first.format == "pku" else None
    told = [_told(file, preferred) for file in files]
    return DimensionData(dimension, pattern, first.columns, preferred, told)


def _label(dimension: str, labels: set[Label], file: str) -> Label:
    if len(labels) == 1:
        return labels.copy().pop()
    for word, label in LABEL_OF.items():
        if word in dimension and label in labels:
            return label
    raise ConfigError(
        f"{file} has two labels, better_response_id and safer_response_id, and {dimension!r} says not which",
        hint="--dimensions helpful,harmless reads the file for both",
    )


def _told(file: Recognised, preferred: str | None) -> str:
    """One line on a file: its format and columns, what is not read, and how many of the rows were refused."""
    line = str(file) + (f", chosen by {preferred}" if preferred else "")
    if file.unread:
        line += f"; not read: {', '.join(file.unread)}"
    if refused := sum(file.refused.values()):
        line += f"; {refused} of the first {file.rows} rows refused: {next(iter(file.refused))}"
    return line
