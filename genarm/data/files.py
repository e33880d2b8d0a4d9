"""Which files there are: those that a glob of `params.yaml` names, and those below a folder that is copied.

No file is opened here. Whatever is found and not taken is told, with the reason.
"""

import glob
import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from genarm.config import nearest
from genarm.data.other_files import conversion, is_plainly_none
from genarm.data.rows import SUFFIXES
from genarm.errors import ConfigError, DataError

FIRST = 8  # names in one message
log = logging.getLogger(__name__)


def find_files(data: Path, pattern: str, *, tell: bool = True) -> list[Path]:
    """The data files below `data` that match a glob, or are called exactly that, sorted by path.

    What the glob meets and does not take, such as a linked folder, is logged as a warning, if `tell`.

    Raises DataError where none matches, or something matches that is no data file; ConfigError for a pattern
    that is no glob or leads out of `data`.
    """
    if Path(pattern).is_absolute() or ".." in Path(pattern).parts:
        raise ConfigError(f"files: {pattern!r} leads out of data/", hint="name a glob below data/")
    try:
        # A name may hold brackets, which a glob would take for a choice of letters.
        literal = (data / pattern).is_file()
        matched = [data / pattern] if literal else sorted(data.glob(pattern))
    except (ValueError, IndexError) as error:  # '', '.', and before Python 3.13 '**.jsonl'
        raise ConfigError(f"files: {pattern!r} is no glob: {error}", hint="such as '**/*.jsonl'") from None
    files = [f for f in matched if f.is_file()]
    if tell:
        _tell("not read", [*_linked_folders(data), *_folders_without(matched, files)], data)
    if special := [f for f in matched if not f.is_file() and not f.is_dir()]:
        raise DataError(
            f"{shown(special[0], data)} is no file: {_what(special[0])}", hint=f"narrow the glob {pattern!r}"
        )
    if not files:
        existing = sorted(shown(f, data) for f in data.rglob("*") if f.is_file())
        raise DataError(
            f"no data file matches {pattern!r}",
            hint=f"there are: {listed(existing)}" if existing else "fetch the data: dvc repro data.dvc",
        )
    if not literal:
        if tell:
            _tell("not read", [(f, "plainly no data") for f in files if is_plainly_none(f.name)], data)
        files = [f for f in files if not is_plainly_none(f.name)]
    if others := [f for f in files if not f.name.endswith(SUFFIXES)]:
        way = conversion(others[0].name)
        raise DataError(
            f"{shown(others[0], data)} is no data file",
            hint=f"{f'{way}; ' if way else ''}known are {', '.join(SUFFIXES)}; take it out of the source, "
            f"or narrow the glob {pattern!r}",
        )
    if not files:
        raise DataError(f"no data file matches {pattern!r}", hint=f"known are {', '.join(SUFFIXES)}")
    check_names(files, data)
    return files


def gathered(source: str, *, tell: bool = True) -> dict[Path, Path]:
    """The files that a path, a folder or a glob names: the name below data/ -> the file.

    Linked files and folders are followed. What is left out is logged as a warning: in a folder, names that
    start with a dot and links to a folder that is taken anyway; and whatever is no file, such as a pipe.
    Without `tell` nothing is logged, where the files are only looked at.

    Raises DataError where there is no file, where two would have the same name, or a name is not UTF-8.
    """
    path = Path(source).expanduser()
    if path.is_dir():
        found = [(f, f.relative_to(path), why) for f, why in _below(path)]
    else:
        is_glob = glob.has_magic(str(path)) and not path.exists()
        names = sorted(glob.glob(str(path), recursive=True)) if is_glob else [str(path)]
        paths = [Path(name) for name in names if os.path.lexists(name)]
        folders = [f for f, _ in _folders_without(paths, [f for f in paths if f.is_file()])]
        found = [(f, Path(f.name), _what(f)) for f in paths if not f.is_dir() or f in folders]
    if tell:
        _tell("left out", [(f, why) for f, _, why in found if why], path if path.is_dir() else None)
    files = [(f, name) for f, name, why in found if not why]
    if not files:
        if path.is_dir():
            raise DataError(f"no file at {source!r}: the folder is empty", hint="name the folder of the data")
        beside = [f.name for f in path.parent.iterdir()] if path.parent.is_dir() else []
        raise DataError(
            f"no file at {source!r}{nearest(path.name, beside)}", hint=f"paths are read from {Path.cwd()}"
        )
    by_name: dict[Path, Path] = {}
    for file, name in files:
        if other := by_name.get(name):
            raise DataError(f"{other} and {file} would both be {name} in data/", hint="name their folder")
        by_name[name] = file
    check_names(list(by_name))
    return by_name


def check_imported(folder: Path) -> None:
    """What DVC would not import of a folder as it stands: a linked folder is told, and a pipe is refused.

    Raises DataError for whatever is neither file nor folder, at which DVC waits for ever, and for a name that
    is not UTF-8.
    """
    _tell("not imported", _linked_folders(folder), folder)
    entries = sorted(folder.rglob("*"))
    check_names(entries, folder)
    if special := [f for f in entries if not f.is_file() and not f.is_dir()]:
        raise DataError(
            f"{shown(special[0], folder)} is no file: {_what(special[0])}", hint="take it out of the folder"
        )


def check_names(files: Sequence[Path], above: Path | None = None) -> None:
    """Raise DataError for a file whose name is not UTF-8, which neither DVC nor a JSON file can hold."""
    for file in files:
        try:
            str(file).encode()
        except UnicodeEncodeError:
            raise DataError(
                f"the name of {shown(file, above)} is not UTF-8", hint="rename it in UTF-8"
            ) from None


def shown(file: Path, above: Path | None = None) -> str:
    """A path for people, below `above` if that is given; bytes that are not UTF-8 are spelled out."""
    name = (file.relative_to(above) if above else file).as_posix()
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _below(root: Path) -> Iterator[tuple[Path, str]]:
    """Everything below a folder, with the reason where it is left out."""
    top, followed = root.resolve(), set[Path]()

    def walk(folder: Path) -> Iterator[tuple[Path, str]]:
        try:
            entries = sorted(folder.iterdir())
        except OSError as error:
            raise DataError(f"{shown(folder)} cannot be read: {error.strerror}", hint="chmod it") from None
        for entry in entries:
            if entry.name.startswith("."):
                yield entry, "its name starts with a dot"
            elif not entry.is_dir():
                yield entry, _what(entry)
            elif entry.is_symlink():
                target = entry.resolve()
                if target in followed or target.is_relative_to(top) or top.is_relative_to(target):
                    yield entry, "a link to a folder that is taken already"
                    continue
                followed.add(target)
                yield from walk(entry)
            else:
                yield from walk(entry)

    yield from walk(root)


def _linked_folders(folder: Path) -> list[tuple[Path, str]]:
    """The links to folders below one: no version of the data covers what lies behind them."""
    why = "a link to a folder, which is not part of the data version; genarm data takes its files in"
    return [
        (Path(above) / name, why)
        for above, names, _ in os.walk(folder)
        for name in sorted(names)
        if (Path(above) / name).is_symlink()
    ]


def _folders_without(matched: Sequence[Path], files: Sequence[Path]) -> list[tuple[Path, str]]:
    """The folders that a glob matches although it takes none of the data files in them."""
    taken = {parent for file in files for parent in file.parents}
    return [
        (f, "a folder; name the files in it, such as '**/*.jsonl'")
        for f in matched
        if f.is_dir() and f not in taken and any(g.name.endswith(SUFFIXES) for g in f.rglob("*"))
    ]


def _what(entry: Path) -> str:
    """What an entry is, if no file."""
    if entry.is_file():
        return ""
    if entry.is_dir():
        return "a folder; name the files in it, such as '**/*.jsonl'"
    return "a link to nothing" if entry.is_symlink() else "a pipe, socket or device"


def _tell(verb: str, entries: Sequence[tuple[Path, str]], above: Path | None) -> None:
    for why in dict.fromkeys(why for _, why in entries):
        names = [shown(f, above) for f, reason in entries if reason == why]
        log.warning("%s: %s (%s)", verb, listed(names), why)


def listed(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - FIRST} more" if len(names) > FIRST else ""
    return ", ".join(names[:FIRST]) + more
