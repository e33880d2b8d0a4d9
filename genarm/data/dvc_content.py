"""Files against the hashes that DVC recorded, by content.

DVC itself takes a file for unchanged while its size, time and inode are those in a database of its own,
and an object of its cache for whole while it is read-only. Neither is trusted here: every byte is read. The
hashes are computed by DVC's own functions, so that folders and `.dvcignore` mean what they mean to DVC.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from dvc.config import Config
from dvc.fs import MemoryFileSystem, localfs
from dvc.ignore import DvcIgnoreFilter
from dvc_data.hashfile.build import build
from dvc_data.hashfile.db import HashFileDB

from genarm.data.dvc_lock import FOLDER, Recorded

MISSING = ""  # in the place of a hash


@dataclass(frozen=True, slots=True)
class Damage:
    """A file that is not what DVC recorded, and what lies in the cache under the recorded hash.

    `path` is relative to the root and, in a recorded folder, that of the one file if it can be told. `found`
    and `cached` are the hashes of file and cache object now, empty where there is none. `object` is relative
    to the root where the cache lies below it.
    """

    record: Recorded
    path: str
    recorded: str
    found: str
    object: Path
    cached: str

    @property
    def cache_is_damaged(self) -> bool:
        """Whether the cache holds something else under the recorded hash."""
        return self.cached not in (MISSING, self.recorded)


class Contents:
    """Hashes of what lies in a project now, read from the bytes each time; `cache` is DVC's cache."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self._ignore = DvcIgnoreFilter(localfs, str(self.root))
        folder = self.root / ".dvc"
        self.cache = Path(Config(str(folder))["cache"].get("dir") or folder / "cache")

    def hash_of(self, path: str, algorithm: str = "md5") -> str:
        """The md5 of a file or, ending in `.dir`, of a folder; empty where there is none."""
        return _hash(self.root / path, algorithm, self._ignore)

    def damaged(self, records: Iterable[Recorded]) -> Iterator[Damage]:
        """Every file that is not what its record says, in the order of the records. All bytes are read.

        A folder whose files are right counts as damaged where the cache's list of them is: it could not be
        restored. Other cache objects are read only where the file differs.
        """
        for record in records:
            found = self.hash_of(record.path, record.algorithm)
            if found != record.md5:
                yield from self._named(record, found)
            elif record.is_folder:
                whole = self._damage(record, record.path, record.md5, found)
                if whole.cache_is_damaged:
                    yield whole

    def holders(self, records: Iterable[Recorded], object: Path) -> Iterator[Recorded]:
        """The records that a cache object belongs to: of its file, or of a folder whose list names it."""
        md5 = object.parent.name + object.name
        for record in records:
            if record.md5 == md5 or md5 in self._list(record).values():
                yield record

    def _named(self, record: Recorded, found: str) -> Iterator[Damage]:
        """The files of a folder that differ from the list in the cache; the folder, where that tells none."""
        whole = self._damage(record, record.path, record.md5, found)
        files = [
            self._damage(record, path, md5, now)
            for name, md5 in self._list(record).items()
            if (now := self.hash_of(path := f"{record.path}/{name}", record.algorithm)) != md5
        ]
        yield from files or [whole]

    def _list(self, record: Recorded) -> dict[str, str]:
        """The files of a recorded folder with their hashes, where the cache has a list of them."""
        listed = self.cache / record.object
        if not record.is_folder or object_hash(listed, record.algorithm) != record.md5:
            return {}
        entries = json.loads(listed.read_text(encoding="utf-8"))
        return {entry["relpath"]: entry["md5"] for entry in entries}

    def has(self, md5: str, algorithm: str = "md5") -> bool:
        """Whether the cache holds an object of this hash. Its bytes are not read."""
        return bool(md5) and (self.cache / Recorded("", md5, "", "", algorithm).object).exists()

    def ignores(self, path: Path) -> bool:
        """Whether DVC does not see a file: `.dvcignore` says so, or it is git's or DVC's own."""
        return bool(self._ignore.is_ignored_file(str(path)))

    def _damage(self, record: Recorded, path: str, md5: str, found: str) -> Damage:
        object = self.cache / Recorded(path, md5, record.stage, record.source, record.algorithm).object
        cached = object_hash(object, record.algorithm)
        return Damage(record, path, md5, found, self.shown(object), cached)

    def shown(self, path: Path) -> Path:
        """A path as it is told and typed in the project's folder."""
        return path.relative_to(self.root) if path.is_relative_to(self.root) else path


def object_hash(object: Path, algorithm: str = "md5") -> str:
    """The hash of the bytes of a cache object, in the form that it is named by; empty where there is none."""
    found = _hash(object, algorithm)
    return found + FOLDER if found and object.name.endswith(FOLDER) else found


def damaged_objects(cache: Path) -> Iterator[tuple[Path, str]]:
    """Every object of a cache whose bytes have another hash than its name says, with that hash."""
    for object in sorted(cache.glob("files/md5/[0-9a-f][0-9a-f]/*")):
        # DVC writes an object under a temporary name and renames it.
        if len(object.name.removesuffix(FOLDER)) == 30 and object.is_file():
            found = object_hash(object)
            if found not in (MISSING, object.parent.name + object.name):
                yield object, found


def _hash(path: Path, algorithm: str, ignore: DvcIgnoreFilter | None = None) -> str:
    # A store in memory knows of no earlier hash, and takes in no file.
    store = HashFileDB(MemoryFileSystem(), "memory://contents", hash_name=algorithm)
    try:
        _, _, found = build(store, str(path), localfs, algorithm, dry_run=True, ignore=ignore)
    except (FileNotFoundError, NotADirectoryError):
        return MISSING
    assert found.hash_info is not None and found.hash_info.value is not None
    return str(found.hash_info.value)
