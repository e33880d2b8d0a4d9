"""Files that somebody put into data/ or edited there, and that no version of the data has."""

import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from genarm.data.dvc_lock import read_pointer, read_source
from genarm.data.files import listed
from genarm.errors import DataError
from genarm.system.counted import counted

if TYPE_CHECKING:
    from genarm.data.dvc_content import Contents

LEFT_BY_OTHERS = (".DS_Store", "Thumbs.db", ".gitkeep")  # file managers and git, without anybody's content


def only_here(root: Path, also: Iterable[Path] = ()) -> list[str]:
    """The files below data/ whose content is neither in DVC's cache, in git, in its source, nor in `also`.

    They would be lost where data/ is replaced. Files that only miss, or were moved, are none of them; those
    that DVC ignores, and those that cannot be read, are. Raises DataError where `data.dvc` is damaged.
    """
    from genarm.data.dvc_content import Contents

    root = root.resolve()
    data, pointer, contents = root / "data", read_pointer(root), Contents(root)
    legacy = pointer.algorithm if pointer else "md5"
    alone = _files(data)
    if (
        pointer and _hash(contents, data, pointer.algorithm) == pointer.md5
    ):  # all that DVC sees is of a version
        alone = [file for file in alone if contents.ignores(file)]
    alone = [
        file
        for file in alone
        if not any(contents.has(_hash(contents, file, kind), kind) for kind in {"md5", legacy})
    ]
    kept = [*also, *([root / source] if (source := read_source(root)) else [])]
    others = {_hash(contents, file) for folder in kept for file in _files(folder)} if alone else set()
    alone = [file for file in alone if _hash(contents, file) not in others - {""}]
    return [file.relative_to(data).as_posix() for file in _unknown_to_git(root, alone)]


def require_none_only_here(root: Path, also: Iterable[Path] = ()) -> None:
    """Raise DataError where replacing data/ would lose files, naming them."""
    if files := only_here(root, also):
        raise DataError(told(files), hint=way_out(files))


def told(files: Sequence[str]) -> str:
    """What is wrong, in words."""
    return (
        f"data/ holds {counted(len(files), 'file')} of no data version, to be lost with it: {listed(files)}"
    )


def way_out(files: Sequence[str]) -> str:
    """What to do about it: hidden files become part of no version."""
    move = "move them out of data/"
    hidden = any(part.startswith(".") for name in files for part in name.split("/"))
    return move if hidden else f"genarm data data, which makes all of data/ the data version, or {move}"


def comes_from_here(root: Path) -> bool:
    """Whether data/ is an import of a folder of this project, which git tracks and which is small.

    Not where `data.dvc` is damaged, which the command that needs it mends or tells.
    """
    try:
        source = read_source(root)
    except DataError:
        return False
    return source is not None and (root / source).is_dir()


def _hash(contents: "Contents", path: Path, algorithm: str = "md5") -> str:
    """The hash of a file or folder, empty where it cannot be read."""
    try:
        return contents.hash_of(str(path), algorithm)
    except OSError:
        return ""


def _unknown_to_git(root: Path, files: Sequence[Path]) -> list[Path]:
    """Those whose content is no object of the repository: an older state of an embedded source is one."""
    ids = {file: _git(root, "hash-object", "--no-filters", "--", str(file)) for file in files}
    return [file for file in files if not (ids[file] and _git(root, "cat-file", "-t", ids[file]))]


def _git(root: Path, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def _files(folder: Path) -> list[Path]:
    """All files below a folder, without those that DVC was copying when it was killed."""
    return [
        file
        for file in sorted(folder.rglob("*"))
        if file.is_file()
        and file.name not in LEFT_BY_OTHERS
        and not (file.name.startswith(".") and file.name.endswith(".tmp"))
    ]
