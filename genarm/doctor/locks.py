"""File locks: whether another run is under way."""

from pathlib import Path

from genarm.pipeline.check_result import CheckResult, ok, warn
from genarm.system.layout import Layout


def running(root: Path) -> list[CheckResult]:
    """Check whether a run is under way; a lock file that no process holds is harmless."""
    lock = Layout(root).lock
    if held(lock):
        return [warn("run lock", f"another run holds {lock.relative_to(root)}", "wait for it, or stop it")]
    return [ok("run lock", "free" + (", left by an earlier run" if lock.exists() else ""))]


def held(path: Path) -> bool:
    """Whether a process holds the lock on a file. The lock is what counts, not that the file exists."""
    try:
        import fcntl
    except ImportError:  # not on Windows
        return False
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False
