"""The store: a server that is away, a lock that is held, a folder that was moved, four processes at once."""

import shutil
import time
from pathlib import Path

import pytest
from registry_processes import at_once, open_store
from registry_toys import DIMENSION, MakeArm, register

from genarm import registry
from genarm.errors import Busy, RegistryError, Unreachable
from genarm.registry import Registry
from genarm.registry.place import check_place


def test_a_server_that_is_away_is_told_in_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:9/base")
    started = time.monotonic()
    with pytest.raises(Unreachable, match=r"at http://127\.0\.0\.1:9/base .*hint: start it") as caught:
        registry.connect(tmp_path)
    assert time.monotonic() - started < 10
    assert "secret" not in str(caught.value) and caught.value.retryable


def test_a_lock_that_is_held_is_named(store: Registry) -> None:
    with store.lock(), pytest.raises(Busy, match="another process"), store.lock(0.1):
        pass


def test_a_store_that_was_moved_is_not_written_to(
    root: Path,
    store: Registry,
    make_arm: MakeArm,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    register(store, make_arm(0))
    check_place(root)
    moved = tmp_path / "moved"
    shutil.copytree(root, moved)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{moved / 'mlflow' / 'mlflow.db'}")
    with pytest.raises(RegistryError, match=r"moved or copied"):
        check_place(moved)  # before anything is trained
    with pytest.raises(RegistryError, match=r"moved or copied"):
        register(registry.connect(moved), make_arm(1))


@pytest.mark.slow
def test_four_processes_may_open_a_new_store_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert at_once(open_store, [(tmp_path,)] * 4) == [{DIMENSION: None}] * 4
