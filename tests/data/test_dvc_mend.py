"""Files that a killed DVC left cut short at any byte: mended, told, and what is lost comes from the cache."""

import subprocess
import sys
from contextlib import suppress

import pytest
from dvc_project import LOCK, POINTER, git
from filelock import FileLock

from genarm.data import dvc_mend
from genarm.data.dvc import pull_data, run_stage, set_data, status
from genarm.data.dvc_lock import read_records
from genarm.data.dvc_mend import is_lock, kept_pointer, mend
from genarm.errors import Busy

TOLD = "which a killed DVC had left cut short"


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setattr(dvc_mend, "PAUSE", 0)
    (tmp_path / "data.dvc").write_text(POINTER)
    (tmp_path / "dvc.lock").write_text(LOCK)
    return tmp_path


@pytest.mark.parametrize("folder", ["", "experiments/general/"])
def test_a_lock_cut_short_at_any_byte_ends_after_a_whole_stage(root, folder):
    lock = root / folder / "dvc.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    first, told = LOCK.index("  train@kind:"), set()
    for length in range(len(LOCK)):
        lock.write_text(LOCK[:length])
        was_whole = is_lock(LOCK[:length].encode())
        lines = mend(root)
        assert bool(lines) is not was_whole and all(f"{folder}dvc.lock, {TOLD}" in line for line in lines)
        told |= set(lines)
        assert not lock.exists() or is_lock(lock.read_bytes())
        if length >= first and not was_whole:
            assert lock.read_text() == LOCK[:first]
        assert mend(root) == [] and (root / "data.dvc").read_text() == POINTER
    assert {line.split("short, ")[1].split(";")[0] for line in told} == {
        "held no whole stage and is removed",
        "ends after pairs",
    }
    lock.write_text(LOCK)
    assert mend(root) == [] and lock.read_text() == LOCK


@pytest.mark.parametrize(
    "content",
    [
        LOCK[:-20] + "\n<<<<<<< ours\n",  # of a merge
        LOCK.replace("2123456789abcdef", "212345678gabcdef"),  # not at its end
        "stages: [\n",
        "- a\n",
    ],
)
def test_what_no_kill_leaves_is_left_for_whoever_did_it(root, content):
    (root / "dvc.lock").write_text(content)
    assert mend(root) == [] and (root / "dvc.lock").read_text() == content


def test_a_pointer_cut_short_is_as_it_was(root):
    for length in range(len(POINTER) - 1):
        (root / "data.dvc").write_text(POINTER)
        with suppress(KeyboardInterrupt), kept_pointer(root):
            (root / "data.dvc").write_text(POINTER[:length])
            raise KeyboardInterrupt
        assert mend(root) == [f"data.dvc, {TOLD}, is as it was before"]
        assert (root / "data.dvc").read_text() == POINTER and mend(root) == []
    (root / "data.dvc").unlink()
    assert mend(root) == [] and not (root / "data.dvc").exists(), "it was removed on purpose"


def test_a_pointer_of_an_earlier_command_is_never_put_back(project, source):
    pull_data(project)
    set_data(project, str(source))
    cut = (project / "data.dvc").read_text()[:30]
    (project / "data.dvc").write_text(cut)
    assert mend(project) == [] and (project / "data.dvc").read_text() == cut


def test_a_lock_without_a_whole_stage_is_that_of_the_commit(project):
    (project / "dvc.lock").write_text(LOCK)
    git(project, "add", "dvc.lock")
    git(project, "commit", "--quiet", "-m", "ran")
    (project / "dvc.lock").write_text("")
    (line,) = mend(project)
    assert "is that of the last commit" in line and (project / "dvc.lock").read_text() == LOCK


def test_a_dvc_that_may_still_be_writing_is_waited_for(root, monkeypatch):
    monkeypatch.setattr("genarm.data.change.GRACE", -5)
    (root / ".dvc" / "tmp").mkdir(parents=True)
    (root / "dvc.lock").write_text(LOCK[:-20])
    with FileLock(root / ".dvc" / "tmp" / "lock"), pytest.raises(Busy, match="was left cut short"):
        mend(root)
    assert (root / "dvc.lock").read_text() == LOCK[:-20]


@pytest.mark.slow
def test_what_the_lock_lost_comes_from_dvcs_cache(project):
    assert run_stage(project, "count") == "ran"
    lock = project / "dvc.lock"
    whole = lock.read_text()
    lock.write_text(whole[: whole.rindex("size:") + 5])  # YAML, but DVC has another form
    refused = subprocess.run([sys.executable, "-m", "dvc", "status"], cwd=project, capture_output=True)
    assert refused.returncode, "DVC itself refuses it"
    (line,) = mend(project)
    assert TOLD in line and "count" in status(project)
    assert run_stage(project, "count") == "restored"
    assert lock.read_text() == whole and read_records(project) is not None
