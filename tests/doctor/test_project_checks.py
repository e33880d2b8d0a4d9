"""The project: parameters, base model, disk, locks, data version, commit, champions."""

import shutil
import subprocess
from types import SimpleNamespace

import pytest
from doctor_toys import PARAMS, one
from filelock import FileLock

from genarm.doctor import disk, locks, project, versioning
from genarm.doctor.base_model import base_model


def test_parameters_are_reported_with_the_nearest_key(tmp_path):
    (tmp_path / "params.yaml").write_text(PARAMS.replace("max_tokens:", "max_token:"))
    assert "did you mean 'max_tokens'" in one(project.parameters(tmp_path)).detail
    assert base_model(tmp_path) == []  # said once


@pytest.mark.parametrize(
    ("model", "status", "told"),
    [
        ("nothing.gguf", "fail", "no GGUF file"),
        ("/no/such/folder", "fail", "is no folder"),
        ("somebody/something", "warn", "downloads it"),
    ],
)
def test_where_the_base_model_would_come_from(model, status, told, tmp_path, quiet):
    (tmp_path / "params.yaml").write_text(PARAMS.replace("smollm2-135m-instruct", model))
    quiet.setenv("HF_HOME", str(tmp_path))
    found = one(base_model(tmp_path))
    assert found.status == status and told in found.detail
    quiet.setenv("HF_HUB_OFFLINE", "1")
    assert one(base_model(tmp_path)).status == "fail"
    (tmp_path / "hub" / "models--somebody--something" / "snapshots").mkdir(parents=True)
    assert (one(base_model(tmp_path)).status == "ok") == (status == "warn")


def test_a_conversion_that_the_disk_has_no_room_for_fails(tmp_path, quiet):
    (tmp_path / "m.gguf").write_bytes(b"GGUF" * 100)
    (tmp_path / "params.yaml").write_text(PARAMS.replace("smollm2-135m-instruct", str(tmp_path / "m.gguf")))
    quiet.setenv("GENARM_CACHE", str(tmp_path / "cache" / "deep"))
    assert "converts it" in one(base_model(tmp_path)).detail
    quiet.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=1000))
    assert "GENARM_CACHE" in one(base_model(tmp_path)).fix
    assert one(disk.room(tmp_path)).status == "fail"


def test_a_lock_counts_while_it_is_held_and_not_because_its_file_is_there(tmp_path):
    lock = tmp_path / ".cache" / "run.lock"
    assert one(locks.running(tmp_path)).status == "ok"
    lock.parent.mkdir()
    with FileLock(lock):
        assert one(locks.running(tmp_path)).status == "warn"
    lock.touch()
    assert one(locks.running(tmp_path)).detail == "free, left by an earlier run"


def test_the_state_of_dvc(tmp_path):
    zc = pytest.importorskip("zc.lockfile")
    for name in ("dvc.yaml", ".dvc/config", "data.dvc"):
        assert one(versioning.data_version(tmp_path)).status == "fail"
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("outs:\n- md5: 0123456789abcdef0123456789abcdef.dir\n  path: data\n")
    assert "not in data/ yet" in one(versioning.data_version(tmp_path)).detail
    (tmp_path / "data").mkdir()
    finding = one(versioning.data_version(tmp_path))
    assert finding.status == "ok" and "0123456789ab" in finding.detail
    (tmp_path / ".dvc" / "tmp").mkdir()
    held = zc.LockFile(str(tmp_path / ".dvc" / "tmp" / "lock"))  # the lock as DVC takes it
    assert "holds the repository" in one(versioning.data_version(tmp_path)).detail
    held.close()
    (tmp_path / ".dvc" / "tmp" / "rwlock").write_text('{"write": {')
    assert one(versioning.data_version(tmp_path)).fix == "rm .dvc/tmp/rwlock"


def test_the_commit_and_what_differs_from_it(tmp_path):
    assert one(versioning.git(tmp_path)).status == "fail"
    who = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    assert "no commit yet" in one(versioning.git(tmp_path)).detail
    (tmp_path / "params.yaml").write_text("a: 1")
    for words in (["add", "-A"], [*who, "commit", "-q", "-m", "start"]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    assert one(versioning.git(tmp_path)).status == "ok"
    (tmp_path / "new").touch()
    assert one(versioning.git(tmp_path)).status == "ok", "no version depends on it"
    (tmp_path / "params.yaml").write_text("a: 2")
    (tmp_path / "data.dvc").touch()
    told = one(versioning.git(tmp_path))
    assert told.status == "warn"
    assert "1 file differs from it (params.yaml), and it does not hold data.dvc: " in told.detail


def test_the_snapshot_of_the_champions(tmp_path):
    (tmp_path / "params.yaml").write_text(PARAMS)
    path = tmp_path / "mlflow" / "champions.json"
    assert "registry reconcile" in one(project.champions(tmp_path)).fix
    path.parent.mkdir()
    path.write_text(
        '{"plain": null, "positive": {"version": 3, "model_id": "m-1", "adapter_sha256": "ab", "weight": 1}}'
    )
    assert one(project.champions(tmp_path)).detail == "plain none yet, positive version 3"
    path.write_text('{"plain": null}')
    assert "no entry for 'positive'" in one(project.champions(tmp_path)).detail
    path.write_text('{"plain": {"version": "new"}}')
    assert one(project.champions(tmp_path)).status == "fail"
