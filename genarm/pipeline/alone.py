"""One run of a project at a time, whichever command or flow starts it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from filelock import FileLock, Timeout

from genarm.errors import Busy
from genarm.pipeline.project import Project


@contextmanager
def alone(project: Project) -> Iterator[None]:
    """Hold the project's lock. Raises Busy, which names the process of the other run."""
    path = project.layout.lock
    path.parent.mkdir(parents=True, exist_ok=True)
    holder = path.with_suffix(".pid")
    try:
        lock = FileLock(path, timeout=0).acquire()
    except Timeout:
        who = holder.read_text(encoding="ascii") if holder.is_file() else "unknown"
        raise Busy(
            f"another run of this project is in progress (process {who})",
            hint="wait for it to end, or stop it; what it has done is kept",
        ) from None
    with lock:
        holder.write_text(str(os.getpid()), encoding="ascii")
        yield
