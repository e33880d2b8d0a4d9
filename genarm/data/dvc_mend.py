"""What a kill of DVC or of a change of the data leaves half done, completed or undone before the next run.

DVC writes `dvc.lock`, `data.dvc` and its list of locked paths in place, so each may be cut short at any byte.
"""

import json
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from genarm.data.change import Change, without_dvc
from genarm.data.dvc_lock import LOCK, PAUSE, POINTER, TRIES, check_stages, is_conflict, is_pointer, parsed
from genarm.errors import DataError
from genarm.system.files import write_text

HEAD = b"schema: '2.0'\nstages:\n"  # DVC writes it before the first stage
STAGE = re.compile(rb"^  (\S.*?):?$", re.MULTILINE)  # its name may be what was cut
LEFT = "which a killed DVC had left cut short"


def mend(root: Path) -> list[str]:
    """Complete or undo what a kill left half done; a sentence on each repair.

    Raises Busy during a change of the data, or where a DVC command holds the lock over a file cut short.
    """
    change = Change(root)
    with change.alone():
        told = [
            *change.mend(),
            *_drop_broken_locks(root),
            *_mended(root, root / POINTER, is_pointer, _put_back),
        ]
        _before(root).unlink(missing_ok=True)
        for lock in (root / LOCK, *sorted(root.glob(f"experiments/*/{LOCK}"))):
            told += _mended(root, lock, is_lock, _end_after_whole_stage)
        return told


@contextmanager
def kept_pointer(root: Path) -> Iterator[None]:
    """Keep a copy of `data.dvc` while a command may write it, for `mend`."""
    path, kept = root / POINTER, _before(root)
    if path.exists() and is_pointer(path.read_bytes()):
        write_text(kept, path.read_text(encoding="utf-8"))
    try:
        yield
    finally:
        if not path.exists() or is_pointer(path.read_bytes()):
            kept.unlink(missing_ok=True)


def is_lock(content: bytes) -> bool:
    """Whether this is a `dvc.lock` that DVC takes, with all hashes. A stage that lacks its end runs again."""
    from dvc.schema import COMPILED_LOCKFILE_SCHEMA
    from voluptuous import Invalid

    try:
        COMPILED_LOCKFILE_SCHEMA(lock := parsed(LOCK, content))
        check_stages(lock)
    except (DataError, Invalid):
        return False
    return True


def _mended(
    root: Path, path: Path, whole: Callable[[bytes], bool], mend_it: Callable[[Path, Path, bytes], str]
) -> list[str]:
    """What was done about a file that is not whole. A DVC that may still be writing it is waited for."""
    for pause in (*(PAUSE,) * (TRIES - 1), 0):
        if not path.exists() or is_conflict(content := path.read_bytes()) or whole(content):
            return []
        time.sleep(pause)
    with without_dvc(root):
        content = path.read_bytes()
        then = "" if whole(content) else mend_it(root, path, content)
    return [f"{path.relative_to(root).as_posix()}, {LEFT}, {then}"] if then else []


def _put_back(root: Path, path: Path, content: bytes) -> str:
    """`data.dvc` as it was before the command that was killed; nothing where that is not known."""
    if not _before(root).exists():
        return ""
    write_text(path, _before(root).read_text(encoding="utf-8"))
    return "is as it was before"


def _end_after_whole_stage(root: Path, path: Path, content: bytes) -> str:
    """A `dvc.lock` without the stage in which it breaks off; where none is whole, that of the commit."""
    rest = "DVC takes from its cache what follows, or runs it"
    stages = list(STAGE.finditer(content))
    if len(stages) > 1 and is_lock(kept := content[: stages[-1].start()]):
        write_text(path, kept.decode("utf-8"))
        return f"ends after {stages[-2][1].decode()}; {rest}"
    if len(stages) > 1 or not HEAD.startswith(content[: len(HEAD)]):
        return ""  # damaged in another way, which the next to read it tells
    committed = _committed(root, path)
    if is_lock(committed):
        write_text(path, committed.decode("utf-8"))
        return f"held no whole stage and is that of the last commit; {rest}"
    path.unlink()
    return f"held no whole stage and is removed; {rest}"


def _committed(root: Path, path: Path) -> bytes:
    name = f"HEAD:./{path.relative_to(root).as_posix()}"
    return subprocess.run(["git", "show", name], cwd=root, capture_output=True, check=False).stdout


def _before(root: Path) -> Path:
    """The copy of `data.dvc`, there while a command of ours runs or after it was killed."""
    return root / ".dvc" / "tmp" / "data.dvc.before"


def _drop_broken_locks(root: Path) -> list[str]:
    """DVC's list of locked paths, where a killed DVC left it cut short: all DVC commands would refuse it."""
    path = root / ".dvc" / "tmp" / "rwlock"
    for pause in (PAUSE, 0):  # another DVC may be writing it
        try:
            json.loads(path.read_text(encoding="utf-8"))
            return []
        except FileNotFoundError:
            return []
        except ValueError:
            time.sleep(pause)
    path.unlink(missing_ok=True)
    return [f"the file .dvc/tmp/rwlock, {LEFT}, is removed"]
