"""A command as one group of processes: its lines are read as they come, and it never outlives its starter."""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

OnLine = Callable[[str], None]
GRACE = 10  # seconds between asking a group to stop and stopping it


def ignore(line: str) -> None:
    """Discard a line, for a caller that wants none."""


def run(
    command: Sequence[str], folder: Path, environment: Mapping[str, str], on_line: OnLine = ignore
) -> tuple[int, list[str]]:
    """Run a command in a folder; returns its exit code and its lines, standard output and error together.

    Whatever ends the caller, be it an interrupt, an error or SIGKILL, ends every process that the command
    started.
    """
    lines: list[str] = []
    child = subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    assert child.stdout is not None
    with child.stdout, ends_with_us(child):
        for line in child.stdout:
            lines.append(line.rstrip("\n"))
            on_line(lines[-1])
        return child.wait(), lines


@contextmanager
def ends_with_us(child: "subprocess.Popen[Any]") -> Iterator[None]:
    """End the group of a child when this process ends, however that comes about.

    The child leads a session of its own.
    """
    # The watch reads from a pipe that this process holds open, so it wakes when this process ends, however.
    watch = subprocess.Popen(
        [
            "/bin/sh",
            "-c",
            f'read _; kill -s INT -- "-$0"; sleep {GRACE}; kill -s KILL -- "-$0"',
            str(child.pid),
        ],
        stdin=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield
    except BaseException:
        _stop(child)
        raise
    finally:
        watch.kill()
        watch.communicate()


def _stop(child: "subprocess.Popen[Any]") -> None:
    for number in (signal.SIGINT, signal.SIGKILL):
        try:
            os.killpg(child.pid, number)
            child.wait(GRACE)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue
