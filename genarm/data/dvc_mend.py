"""What a kill of DVC or of a change of the data leaves half done, completed or undone before the next run.

DVC writes `dvc.lock`, `data.dvc` and its list of locked paths in place, so each may be cut short at any byte.
"""

import json
import re
import time
from pathlib import Path

from genarm.data.change import Change, wait_for_dvc
from genarm.data.dvc_lock import LOCK, PAUSE, POINTER, TRIES, is_conflict, is_lock, is_pointer
from genarm.system.files import write_text

HEAD = b"schema: '2.0'\nstages:\n"  # DVC writes it before the first stage
STAGE = re.compile(rb"^  (\S.*?):?$", re.MULTILINE)  # its name may be what was cut


def mend(root: Path) -> list[str]:
    """Complete or undo what a kill left half done; a sentence on each repair.

    Raises Busy during a change of the data, or where a DVC command holds the lock over a file cut short.
    """
    change = Change(root)
    with change.alone():
        told = [*change.mend(), *_drop_broken_locks(root), *_put_back_pointer(root)]
        for lock in (root / LOCK, *sorted(root.glob(f"experiments/*/{LOCK}"))):
            told += _end_after_whole_stage(root, lock)
        return told


def keep_pointer(root: Path) -> None:
    """Keep a copy of `data.dvc` from before a command that may write it, for `mend`."""
    if (root / POINTER).exists():
        write_text(_kept_pointer(root), (root / POINTER).read_text(encoding="utf-8"))


def _kept_pointer(root: Path) -> Path:
    return root / ".dvc" / "tmp" / "data.dvc.before"


def _put_back_pointer(root: Path) -> list[str]:
    """`data.dvc` as it was, where it was cut short since."""
    path, kept = root / POINTER, _kept_pointer(root)
    if not (path.exists() and kept.exists() and is_pointer(kept.read_bytes())):
        return []
    if is_conflict(path.read_bytes()) or _is_whole(root, path):
        return []
    write_text(path, kept.read_text(encoding="utf-8"))
    return [f"{POINTER}, which a killed DVC had left cut short, is as it was before"]


def _end_after_whole_stage(root: Path, path: Path) -> list[str]:
    """A `dvc.lock` without the stage in which it breaks off, which DVC takes from its cache or runs."""
    if not path.exists() or is_conflict(path.read_bytes()) or _is_whole(root, path):
        return []
    content, name = path.read_bytes(), path.relative_to(root).as_posix()
    stages = list(STAGE.finditer(content))
    if len(stages) > 1 and is_lock(kept := content[: stages[-1].start()]):
        write_text(path, kept.decode("utf-8"))
        then = f"ends after {stages[-2][1].decode()}"
    elif HEAD.startswith(content[: len(HEAD)]) and len(stages) <= 1:
        path.unlink()
        then = "is removed, for it held no whole stage"
    else:
        return []  # damaged in another way, which the next to read it tells
    return [f"{name}, which a killed DVC had left cut short, {then}; DVC takes the rest from its cache"]


def _is_whole(root: Path, path: Path) -> bool:
    """Whether DVC wrote a file to its end. A DVC that may still be writing it is waited for."""
    whole = is_pointer if path.name == POINTER else is_lock
    for _ in range(TRIES - 1):
        if whole(path.read_bytes()):
            return True
        time.sleep(PAUSE)
    wait_for_dvc(root)
    return whole(path.read_bytes())


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
    return ["the file .dvc/tmp/rwlock, which a killed DVC had left cut short, is removed"]
