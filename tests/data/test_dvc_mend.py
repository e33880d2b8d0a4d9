"""Files that a killed DVC left cut short at any byte: mended, told, and what is lost comes from the cache."""

import subprocess
import sys

import pytest
from dvc_project import LOCK, POINTER
from filelock import FileLock

from genarm.data import dvc_mend
from genarm.data.dvc import keep_pointer, run_stage, status
from genarm.data.dvc_lock import is_lock, read_pointer, read_records
from genarm.data.dvc_mend import mend
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
        "is removed, for it held no whole stage",
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
    keep_pointer(root)
    for length in range(POINTER.index("\n  hash")):
        (root / "data.dvc").write_text(POINTER[:length])
        assert mend(root) == [f"data.dvc, {TOLD}, is as it was before"]
        assert read_pointer(root) is not None and mend(root) == []
    (root / "data.dvc").unlink()
    assert mend(root) == [] and not (root / "data.dvc").exists(), "it was removed on purpose"


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
    lock.write_text(whole[:-50])
    refused = subprocess.run([sys.executable, "-m", "dvc", "status"], cwd=project, capture_output=True)
    assert refused.returncode, "DVC itself refuses it"
    (line,) = mend(project)
    assert TOLD in line and "count" in status(project)
    assert run_stage(project, "count") == "restored"
    assert lock.read_text() == whole and read_records(project) is not None
