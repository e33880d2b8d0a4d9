"""A change of the data that is killed between any two of its steps: undone or complete, and told."""

import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from doctor_toys import one
from dvc_project import dvc

from genarm.data.change import Change
from genarm.data.dvc import data_version, pull_data, run_stage, set_data, status
from genarm.data.dvc_mend import mend
from genarm.doctor import versioning
from genarm.errors import Busy

# Ends the process at its n-th step that changes a file or starts DVC; says so where there are fewer steps.
KILLED_AT = """
import os, signal, sys
from pathlib import Path
root, source, n = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
from genarm.data.dvc import set_data
STEPS = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "shutil.copyfile", "subprocess.Popen"}
seen = 0
def hook(event, arguments):
    global seen
    if event in STEPS:
        seen += 1
        if seen == n:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(hook)
set_data(root, source)
print("to the end")
"""


def killed_at(root: Path, source: Path, n: int) -> bool:
    """Change the data in a process that is killed at its n-th step; whether it was."""
    command = [sys.executable, "-c", KILLED_AT, str(root), str(source), str(n)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert "Error" not in done.stderr, done.stderr
    return "to the end" not in done.stdout


def state(root: Path) -> tuple[str | None, list[str]]:
    """The data version and what data/ holds."""
    data = root / "data"
    return data_version(root), sorted(f.read_text() for f in data.iterdir()) if data.exists() else []


@pytest.mark.slow
@pytest.mark.parametrize("imported", [False, True])
def test_killed_between_any_two_steps_the_data_is_the_old_or_the_new(project, source, tmp_path, imported):
    """The embedded data is replaced by other data, or other data by the embedded data."""
    given, other = (project / "seed", source) if imported else (source, project / "seed")
    if imported:
        set_data(project, str(other))
    old = state(project)
    finished = shutil.copytree(project, tmp_path / "finished")
    set_data(finished, str(finished / "seed" if imported else given))
    new, ended = state(finished), []
    for n in range(1, 200):
        root = tmp_path / str(n)
        shutil.copytree(project, root)
        killed = killed_at(root, root / "seed" if imported else given, n)
        began = Change(root).is_cut_short
        told = mend(root)
        assert state(root) in (old, new)
        ended.append(state(root) == new)
        assert bool(told) == began and (not began or old[0][:12] in told[0] or new[0][:12] in told[0])
        assert not Change(root).folder.exists() and mend(root) == []
        if n % 4 == 0:
            set_data(root, str(root / "seed" if imported else given))
            assert (
                state(root) == new
                and (root / "data.dvc").read_bytes() == (finished / "data.dvc").read_bytes()
            )
        shutil.rmtree(root)
        if not killed:
            break
    assert ended == sorted(ended) and ended[-1] and not ended[0] and len(ended) > 10


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.7, 1.0, 1.3, 1.6, 2.0, 2.5])
def test_killed_while_dvc_works_the_data_is_the_old_or_the_new(project, source, seconds):
    """DVC is a process of its own, which ends a moment after the one that started it."""
    old = state(project)
    command = [sys.executable, "-c", KILLED_AT, str(project), str(source), "1000"]
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    time.sleep(seconds)
    child.kill()
    child.wait()
    told = mend(project)
    after = state(project)
    assert after == old or after[1] == ['{"a": 1}\n']
    time.sleep(2)
    assert state(project) == after and status(project).keys() <= {"count", "broken"}, told


def test_the_next_change_says_what_became_of_the_one_that_was_cut_short(project, source):
    version, change, told = data_version(project), Change(project), list[str]()
    change.begin()
    change.data.mkdir()
    (change.data / "b.jsonl").write_text("half")
    assert change.is_cut_short and one(versioning.data_version(project)).status == "fail"
    set_data(project, str(source), on_line=told.append)
    assert told == [f"a change of the data that was cut short is undone: data version {version[:12]} is back"]
    assert state(project)[1] == ['{"a": 1}\n'] and not change.is_cut_short


@pytest.mark.slow
def test_a_pull_that_was_killed_is_completed_and_its_part_is_no_version_of_its_own(project, source, tmp_path):
    """DVC would record what a killed pull left of added data as the data, and the rest would be gone."""
    (source / "b.jsonl").write_text('{"b": 1}\n')
    set_data(project, str(source))
    before = state(project)
    dvc(project, "remote", "add", "--default", "store", str(tmp_path / "store"))
    dvc(project, "push", "data.dvc")
    (project / "data" / "b.jsonl").unlink()
    (project / ".dvc" / "tmp" / "data.pulling").touch()  # what a pull leaves that is killed halfway
    assert pull_data(project) == "restored"
    assert state(project) == before and not (project / ".dvc" / "tmp" / "data.pulling").exists()


def test_a_list_of_locks_that_a_killed_dvc_left_cut_short_is_removed_and_told(project):
    locks = project / ".dvc" / "tmp" / "rwlock"
    locks.write_text('{"write": {"/a": {"pi')
    assert mend(project) == ["the file .dvc/tmp/rwlock, which a killed DVC had left cut short, is removed"]
    assert run_stage(project, "count") == "ran" and mend(project) == []


def test_one_change_at_a_time(project, source):
    with Change(project).alone(), pytest.raises(Busy, match="another process is changing the data"):
        set_data(project, str(source))
