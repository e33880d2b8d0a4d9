"""A command that runs as one group: its lines are read as they come, and it never outlives who started it."""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

OnLine = Callable[[str], None]
GRACE = 10  # seconds between asking a group to stop and stopping it


def ignore(line: str) -> None:
    """For a caller that wants no lines."""


def run(
    command: Sequence[str], folder: Path, environment: Mapping[str, str], on_line: OnLine = ignore
) -> tuple[int, list[str]]:
    """Exit code and lines, of standard output and error together.

    Whatever ends the caller, an interrupt, an error or SIGKILL, ends all processes that the command started.
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
    with child.stdout, _ends_with_us(child):
        for line in child.stdout:
            lines.append(line.rstrip("\n"))
            on_line(lines[-1])
        return child.wait(), lines


@contextmanager
def _ends_with_us(child: "subprocess.Popen[str]") -> Iterator[None]:
    # The watch reads from a pipe that this process holds open: it wakes when the process is gone, however.
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


def _stop(child: "subprocess.Popen[str]") -> None:
    for number in (signal.SIGINT, signal.SIGKILL):
        try:
            os.killpg(child.pid, number)
            child.wait(GRACE)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue
