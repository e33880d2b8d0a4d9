"""Commands and signals: all output is read, and nothing outlives the one who started it."""

import os
import signal
import subprocess
import sys
import time

import pytest

from genarm.system.process import run
from genarm.system.progress import counting
from genarm.system.signals import on_first_signal


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits for its parent does not."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def ends(pid: int, seconds: float = 15) -> bool:
    end = time.monotonic() + seconds
    while is_alive(pid) and time.monotonic() < end:
        time.sleep(0.05)
    return not is_alive(pid)


def test_lines_of_both_streams_come_with_the_exit_code(tmp_path):
    seen: list[str] = []
    code, lines = run(["sh", "-c", "echo one; echo two >&2; exit 3"], tmp_path, dict(os.environ), seen.append)
    assert (code, sorted(lines)) == (3, ["one", "two"]) and seen == lines


def test_an_error_of_the_reader_ends_the_command(tmp_path):
    pids = []

    def fails(line: str) -> None:
        pids.append(int(line))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(["sh", "-c", "echo $$; exec sleep 60"], tmp_path, dict(os.environ), fails)
    assert ends(pids[0])


def test_a_killed_starter_takes_the_command_with_it(tmp_path):
    code = (
        "import os, pathlib; from genarm.system.process import run;"
        "command = ['sh', '-c', 'echo $$; exec sleep 60'];"
        "run(command, pathlib.Path(), dict(os.environ), lambda line: print(line, flush=True))"
    )
    starter = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    assert starter.stdout is not None
    pid = int(starter.stdout.readline())
    assert is_alive(pid)
    starter.kill()
    starter.communicate()
    assert ends(pid)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_calls_and_the_second_is_as_before(number):
    calls, others = [], []
    before = signal.signal(number, lambda *_: others.append(1))
    try:
        with on_first_signal(lambda: calls.append(1)):
            os.kill(os.getpid(), number)
            assert (calls, others) == ([1], [])
            os.kill(os.getpid(), number)
            assert (calls, others) == ([1], [1])
    finally:
        signal.signal(number, before)


def test_progress_without_a_terminal_is_a_line_every_tenth(capsys):
    with counting("work", 20, "steps") as advance:
        for _ in range(20):
            advance(1)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 10 and lines[0] == "work: 2 of at most 20 steps"
