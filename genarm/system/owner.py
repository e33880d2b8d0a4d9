"""Which process holds something, told so that another of the same machine can see whether it lives."""

import os
import socket
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Self

import psutil

SECONDS = 2.0  # by which a process's start may be read differently


@dataclass(frozen=True, slots=True)
class Owner:
    """A process: where it runs, its id there and when it started, in seconds since the machine did.

    `machine` is the same for processes that can see each other by id: one boot and one namespace of ids, so
    that a container is a machine of its own.
    """

    host: str
    machine: str
    pid: int
    started: float

    @classmethod
    def here(cls) -> Self:
        """This process."""
        return cls(socket.gethostname(), _machine(), os.getpid(), _started(psutil.Process()))

    @property
    def is_gone(self) -> bool:
        """Whether it surely has ended: never said of a process of another machine."""
        if self.machine != _machine():
            return False
        try:
            process = psutil.Process(self.pid)
            ended = process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
            return ended or abs(_started(process) - self.started) > SECONDS
        except psutil.NoSuchProcess:
            return True
        except psutil.Error:  # it belongs to somebody else, so it is there
            return False


def _started(process: psutil.Process) -> float:
    # Both times move with the system's clock, which may be set meanwhile; their difference does not.
    return float(process.create_time() - psutil.boot_time())


@cache
def _machine() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        namespace = Path("/proc/self/ns/pid").readlink()
    except OSError:  # not Linux
        return f"{socket.gethostname()} {psutil.boot_time():.0f}"
    return f"{socket.gethostname()} {boot} {namespace}"
