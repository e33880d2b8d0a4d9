"""Files that somebody put into data/ or edited there, and that no version of the data has."""

from collections.abc import Iterable
from pathlib import Path

from genarm.data.dvc_lock import read_pointer, read_source
from genarm.data.files import listed
from genarm.errors import DataError
from genarm.system.counted import counted


def only_here(root: Path, also: Iterable[Path] = ()) -> list[str]:
    """The files below data/ whose content neither the cache has, nor the source of data/, nor `also`.

    They would be lost where data/ is replaced. Files that only miss, or were moved, are none of them. Raises
    DataError where `data.dvc` is damaged.
    """
    data, pointer = root / "data", read_pointer(root)
    if pointer is None or not data.is_dir():
        return []
    from genarm.data.dvc_content import Contents

    contents = Contents(root)
    if contents.hash_of("data", pointer.algorithm) == pointer.md5:
        return []
    hashes = {file: contents.hash_of(str(file), pointer.algorithm) for file in _files(data)}
    alone = {file for file, md5 in hashes.items() if not contents.has(md5, pointer.algorithm)}
    if alone:
        kept = [file for folder in [*also, *_source(root)] for file in _files(folder)]
        others = {contents.hash_of(str(file), pointer.algorithm) for file in kept}
        alone = {file for file in alone if hashes[file] not in others}
    return [file.relative_to(data).as_posix() for file in sorted(alone)]


def require_none_only_here(root: Path, also: Iterable[Path] = ()) -> None:
    """Raise DataError where replacing data/ would lose files, naming them."""
    if files := only_here(root, also):
        raise DataError(told(files), hint=WAY_OUT)


WAY_OUT = "genarm data data, which makes all of data/ the data version, or move them elsewhere"


def told(files: list[str]) -> str:
    """What is wrong, in words."""
    return (
        f"data/ holds {counted(len(files), 'file')} of no data version, to be lost with it: {listed(files)}"
    )


def comes_from_here(root: Path) -> bool:
    """Whether data/ is an import of a folder of this project, which git tracks and which is small."""
    return bool(_source(root))


def _source(root: Path) -> list[Path]:
    """The folder of this project that the data was imported from, where there is one."""
    source = read_source(root)
    return [root / source] if source and (root / source).is_dir() else []


def _files(folder: Path) -> list[Path]:
    """All files below a folder, without those that DVC was copying when it was killed."""
    return [
        file
        for file in sorted(folder.rglob("*"))
        if file.is_file() and not (file.name.startswith(".") and file.name.endswith(".tmp"))
    ]
