"""A change of data/ and data.dvc that a kill between any two of its steps leaves undone or done, never half.

Everything lies in `.cache/data`. `new` is being gathered; nothing depends on it. `was` holds the data and the
pointer that are replaced: it appears by a rename before anything is moved, and disappears by a rename once
all is in place. So while there is a `was`, a change is in progress or was cut short; the lock tells which.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from genarm.data.dvc_lock import POINTER, is_frozen, read_pointer
from genarm.errors import Busy, DataError
from genarm.system.process import GRACE

NO_DATA = "no-data"  # in `was`: there was none to be kept


@dataclass(frozen=True, slots=True)
class Change:
    """The folders of one project's change of data."""

    root: Path

    @property
    def folder(self) -> Path:
        """Where all of it lies."""
        return self.root / ".cache" / "data"

    @property
    def new(self) -> Path:
        """Where the new data is gathered."""
        return self.folder / "new"

    @property
    def was(self) -> Path:
        """What is replaced, from the moment at which the change begins."""
        return self.folder / "was"

    @property
    def data(self) -> Path:
        """The data of the project."""
        return self.root / "data"

    @property
    def pointer(self) -> Path:
        """The pointer of the project."""
        return self.root / POINTER

    @property
    def is_cut_short(self) -> bool:
        """Whether a change began that no process carries out any more."""
        if not self.was.exists():
            return False
        try:
            with self.alone():
                return self.was.exists()
        except Busy:
            return False

    @contextmanager
    def alone(self) -> Iterator[None]:
        """One change at a time; raises Busy. The lock is released when its process ends, however it ends."""
        lock = self.root / ".dvc" / "tmp" / "data.lock"
        lock.parent.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(lock, timeout=0):
                yield
        except Timeout:
            raise Busy(
                f"another process is changing the data of {self.root}", hint="wait for it to end, or stop it"
            ) from None

    @contextmanager
    def begun(self) -> Iterator[None]:
        """data/ and data.dvc out of the way; back again if what follows fails or is interrupted."""
        self.begin()
        try:
            yield
        except BaseException:
            self.undo()
            raise
        self.finish()

    def begin(self) -> None:
        """Put data and pointer out of the way; both are kept until `finish` or `undo`."""
        prepared = self.folder / "was.new"
        shutil.rmtree(prepared, ignore_errors=True)
        prepared.mkdir(parents=True)
        if self.pointer.exists():
            shutil.copyfile(self.pointer, prepared / POINTER)
        if not self.data.exists():
            (prepared / NO_DATA).touch()
        prepared.rename(self.was)
        if self.data.exists():
            self.data.rename(self.was / "data")
        # From an existing pointer DVC would keep the dependencies, and even the order of its keys.
        self.pointer.unlink(missing_ok=True)

    def undo(self) -> None:
        """Put back what was there. It may itself be cut short at any point, and done again."""
        kept = self.was / "data"
        # Without either of the two the data was not moved yet, or is back already.
        if kept.exists() or (self.was / NO_DATA).exists():
            shutil.rmtree(self.data, ignore_errors=True)
        if kept.exists():
            kept.rename(self.data)
        if (self.was / POINTER).exists():
            beside = self.folder / POINTER
            shutil.copyfile(self.was / POINTER, beside)
            beside.replace(self.pointer)
        else:
            self.pointer.unlink(missing_ok=True)
        self.finish()

    def finish(self) -> None:
        """What is in place stays; what it replaced goes, and the scratch folder with it."""
        gone = self.folder / "done"
        shutil.rmtree(gone, ignore_errors=True)
        if self.was.exists():
            self.was.rename(gone)
        shutil.rmtree(self.folder, ignore_errors=True)

    def is_complete(self) -> bool:
        """Whether the new data and its pointer are both there, and agree by content.

        Raises DataError where the pointer was written only in part.
        """
        from genarm.data.dvc_content import Contents

        pointer = read_pointer(self.root)
        return (
            pointer is not None
            and not is_frozen(self.root)
            and Contents(self.root).hash_of(pointer.path, pointer.algorithm) == pointer.md5
        )

    def mend(self) -> list[str]:
        """Complete a change that was cut short, or undo it; says what was done. The caller is `alone`."""
        if not self.was.exists():
            shutil.rmtree(self.folder, ignore_errors=True)
            return []
        with without_dvc(self.root):
            pass
        before = _text(self.was / POINTER)
        try:
            complete = self.is_complete()
        except DataError:
            complete = False
        if complete and _text(self.pointer) != before:
            self.finish()
            return [f"a change of the data that was cut short is complete: data version {self._version()}"]
        self.undo()
        return [f"a change of the data that was cut short is undone: data version {self._version()} is back"]

    def _version(self) -> str:
        pointer = read_pointer(self.root)
        return pointer.md5.removesuffix(".dir")[:12] if pointer else "none"


@contextmanager
def without_dvc(root: Path) -> Iterator[None]:
    """While no DVC command runs: that of a process that was killed is being stopped, and writes until then.

    Raises Busy where it does not end.
    """
    lock = FileLock(root / ".dvc" / "tmp" / "lock", timeout=GRACE + 5)  # DVC locks the same file the same way
    try:
        lock.acquire()
    except Timeout:
        raise Busy(
            "a DVC command holds the lock, and what it writes was left cut short",
            hint="wait for the command to end, or stop it",
        ) from None
    try:
        yield
    finally:
        lock.release()


def _text(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""
