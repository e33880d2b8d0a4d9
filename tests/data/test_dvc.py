"""Real DVC in a temporary clone: stages and their outcomes, locks, and data from the seed and a remote."""

import fcntl
import shutil

import pytest
from dvc_project import dvc, git

from genarm.data.dvc import data_version, pull_data, run_stage, set_data, status
from genarm.errors import Busy, DataError, PipelineError


def test_a_fresh_clone_makes_its_data_from_the_seed_and_stays_clean(origin, clone):
    assert data_version(clone) == data_version(origin)
    assert "data.dvc" in status(clone)
    assert run_stage(clone, "data.dvc") == "ran"
    assert (clone / "data" / "a.jsonl").read_bytes() == (origin / "seed" / "a.jsonl").read_bytes()
    assert run_stage(clone, "data.dvc") == "unchanged"
    assert git(clone, "status", "--porcelain") == ""


def test_a_pointer_left_by_a_merge_is_named(tmp_path):
    (tmp_path / "data.dvc").write_text("<<<<<<< ours\nouts: [{md5: a.dir}]\n=======\n")
    with pytest.raises(DataError, match="data.dvc is not valid YAML.*git checkout"):
        data_version(tmp_path)


def test_a_lock_that_another_dvc_holds_is_named_and_nothing_is_lost(clone, source):
    shutil.copytree(clone / "seed", clone / "data")
    (clone / ".dvc" / "tmp").mkdir()
    with (clone / ".dvc" / "tmp" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(Busy, match="another DVC command holds the lock"):
            set_data(clone, str(source))
    assert (clone / "data" / "a.jsonl").exists() and git(clone, "status", "--porcelain") == ""


def test_a_stage_runs_once_is_restored_and_streams_its_lines(project):
    seen: list[str] = []
    assert run_stage(project, "count", seen.append) == "ran"
    assert "counting" in seen and (project / "artifacts" / "count").read_text().strip() == "1"
    assert run_stage(project, "count") == "unchanged"
    shutil.rmtree(project / "artifacts")
    assert run_stage(project, "count") == "restored"


def test_a_stage_that_fails_speaks_in_its_own_words(project):
    with pytest.raises(PipelineError) as caught:
        run_stage(project, "broken")
    assert str(caught.value) == "stage broken failed: no such thing; hint: try another"
    with pytest.raises(PipelineError, match="'absent' not found"):
        run_stage(project, "absent")


@pytest.mark.slow
def test_a_clone_takes_added_data_from_the_remote(clone, source, tmp_path):
    version = set_data(clone, str(source))
    dvc(clone, "remote", "add", "--default", "store", str(tmp_path / "store"))
    dvc(clone, "push")
    git(clone, "-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qam", "other data")
    git(tmp_path, "clone", "--quiet", str(clone), "second")
    second = tmp_path / "second"
    assert pull_data(second) == "restored"
    assert (second / "data" / "a.jsonl").read_text() == '{"a": 1}\n'
    assert data_version(second) == version and git(second, "status", "--porcelain") == ""
    shutil.rmtree(second / "data")
    shutil.rmtree(second / ".dvc" / "cache")
    dvc(second, "remote", "remove", "store")
    with pytest.raises(PipelineError, match="no DVC remote has it.*dvc remote add"):
        pull_data(second)
