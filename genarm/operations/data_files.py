"""Which files of a data set belong to which dimension, by their names, and the glob that names them."""

import glob
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from genarm.config import nearest
from genarm.data.files import listed
from genarm.data.mapping import PARTS
from genarm.data.rows import SUFFIXES
from genarm.errors import ConfigError, DataError

ONE = "preference"  # the dimension of files whose names say nothing
SPLITS = {"train", "training", "test", "val", "valid", "validation", "dev", "eval", "evaluation", "data"}
_SHARD = re.compile(r"-\d+-of-\d+$")


def assigned(names: Sequence[str], dimensions: Sequence[str]) -> dict[str, list[str]]:
    """The files of each dimension: those that are named after it, or lie in a folder that is.

    One dimension takes all files where none is named so. Raises DataError where a dimension has no file, or
    a file is named after two of them.
    """
    after = {name: _matching(name, dimensions) for name in names}
    found = {d: [name for name in names if d in after[name]] for d in dimensions}
    if len(dimensions) == 1 and not found[dimensions[0]]:
        return {dimensions[0]: list(names)}
    for name, both in after.items():
        if len(both) > 1:
            raise DataError(
                f"{name} is named after two dimensions, {both[0]!r} and {both[1]!r}",
                hint=f"name it after one of them, such as {both[0]}.jsonl, or move it: {both[0]}/a.jsonl",
            )
    if without := [d for d in dimensions if not found[d]]:
        raise DataError(
            f"no file is named after the dimension {without[0]!r}; there are: {listed(names)}",
            hint=f"name its file {without[0]}.jsonl, or put its files into a folder {without[0]}/; "
            "or name other dimensions: --dimensions",
        )
    return found


def dimensions_of(names: Sequence[str]) -> dict[str, list[str]]:
    """The dimensions that the files themselves suggest: one a folder, or one a file; else `preference`.

    Raises ConfigError where a name can be no dimension.
    """
    found: dict[str, list[str]] = {}
    for name in names:
        first, *inner = PurePosixPath(name).parts
        key = _key(first if inner else _stem(first))
        found.setdefault(ONE if key in SPLITS or len(names) == 1 else key, []).append(name)
    for key, members in found.items():
        check_dimension(key, f"{members[0]} would be the dimension {key!r}, which", "--dimensions preference")
    return found


def check_dimension(name: str, subject: str = "", hint: str = "") -> None:
    """Raise ConfigError for what can be no name of a dimension."""
    if re.fullmatch(r"[a-z][a-z0-9-]{0,39}", name):
        return
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-").lstrip("0123456789-")[:40]
    usual = f"--dimensions {plain}" if plain else "such as --dimensions helpful,harmless"
    raise ConfigError(
        f"{subject or f'{name!r}'} is no name of a dimension: small letters, digits and '-', "
        "at most 40, a letter first",
        hint=hint or usual,
    )


def columns_of(text: str) -> dict[str, str]:
    """`prompt=question,chosen=good` as columns by part. Raises ConfigError where it is written otherwise."""
    columns: dict[str, str] = {}
    for entry in filter(None, text.split(",")):
        part, sign, column = (piece.strip() for piece in entry.partition("="))
        if not sign or not column or part in columns or part not in PARTS:
            raise ConfigError(
                f"--columns: {entry!r} is no part of a pair and its column{nearest(part, PARTS)}",
                hint=f"such as prompt=question,chosen=good,rejected=bad; parts: {', '.join(PARTS)}",
            )
        columns[part] = column
    return columns


def glob_for(files: Sequence[str], folder: str, names: Sequence[str]) -> str:
    """A glob that matches `files` and no other of `names`, the files of the data folder.

    Raises DataError where there is none: the files are then mixed with others.
    """
    if len(files) == 1:
        return files[0]
    suffixes = {suffix for suffix in SUFFIXES if all(name.endswith(suffix) for name in files)}
    ends = [*sorted(suffixes, key=len, reverse=True), ""]
    top = {PurePosixPath(name).parts[0] for name in files}
    starts = [f"{glob.escape(top.pop())}/"] if len(top) == 1 else []
    patterns = [f"{start}{inner}*{end}" for start in starts for inner in ("", "**/") for end in ends]
    patterns += [
        f"{inner}{folder}{more}{end}" for inner in ("", "**/") for more in ("*", "/*") for end in ends
    ]
    patterns += [f"{inner}*{end}" for inner in ("", "**/") for end in ends]
    with tempfile.TemporaryDirectory() as empty:  # pathlib is asked, as it is when the data is read
        for name in names:
            (Path(empty) / name).parent.mkdir(parents=True, exist_ok=True)
            (Path(empty) / name).touch()
        for pattern in patterns:
            matched = [f.relative_to(empty).as_posix() for f in Path(empty).glob(pattern) if f.is_file()]
            if sorted(matched) == sorted(files):
                return pattern
    raise DataError(
        f"no glob names the files of {folder!r} and no others: {listed(files)}",
        hint=f"put them into a folder of their own: {folder}/",
    )


def _matching(name: str, dimensions: Sequence[str]) -> list[str]:
    """The dimensions that a part of a path is named after; else the longest that one begins with."""
    *folders, file = PurePosixPath(name).parts
    keys = [_key(part) for part in (*folders, _stem(file))]
    exact = [d for d in dimensions if d in keys]
    begins = [d for d in dimensions if any(key.startswith(f"{d}-") for key in keys)]
    return exact or [max(begins, key=len)] if exact or begins else []


def _stem(file: str) -> str:
    """The name of a file without its suffix, the number of a shard, and the name of a split."""
    suffix = next((s for s in sorted(SUFFIXES, key=len, reverse=True) if file.endswith(s)), "")
    stem = _SHARD.sub("", file.removesuffix(suffix))
    head, _, last = _key(stem).rpartition("-")
    return head if head and last in SPLITS else stem


def _key(part: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", part.lower()).strip("-")
