"""Commands as groups: nothing that they started outlives their caller."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from genarm.system.process import run

SLEEPERS = "sleep 60 & echo $!; wait"


def gone(pid: int) -> bool:
    for _ in range(100):
        status = Path(f"/proc/{pid}/stat")
        if not status.exists() or status.read_text().split()[2] == "Z":
            return True
        time.sleep(0.1)
    return False


def test_an_interrupt_ends_everything_a_command_started(tmp_path):
    pids: list[int] = []

    def interrupt(line: str) -> None:
        pids.append(int(line))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(["/bin/sh", "-c", SLEEPERS], tmp_path, os.environ, interrupt)
    assert gone(pids[0])


def test_a_command_does_not_outlive_a_killed_caller(tmp_path, monkeypatch):
    monkeypatch.setattr("genarm.system.process.GRACE", 1)
    code = (
        "import os, sys; from genarm.system import process; process.GRACE = 1;"
        f"process.run(['/bin/sh', '-c', {SLEEPERS!r}], '.', os.environ, lambda line: print(line, flush=True))"
    )
    caller = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert caller.stdout is not None
    with caller:
        pid = int(caller.stdout.readline())
        caller.send_signal(signal.SIGKILL)
    assert gone(pid)
