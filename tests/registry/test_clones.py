"""Clones of a project that share an MLflow server over PostgreSQL: one champion, whoever promotes."""

import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from registry_processes import LEASE_SECONDS, SECONDS, at_once, hold_and_write, promote_slowly, register_arm
from registry_server import mlflow_server
from registry_toys import DIMENSION, MakeArm, decision, register, state

from genarm import registry
from genarm.errors import Busy, Unreachable
from genarm.registry import Registry, lease

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with mlflow_server(tmp_path_factory.mktemp("server")) as address:
        yield address


@pytest.fixture
def clones(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    return tmp_path / "first", tmp_path / "second"


@pytest.fixture
def store(clones: tuple[Path, Path]) -> Registry:
    return registry.connect(clones[0])


def test_of_two_clones_that_promote_at_once_one_is_told_that_it_is_stale(
    clones: tuple[Path, Path], store: Registry, make_arm: MakeArm
) -> None:
    for first in (0, 2):  # against no champion, then against one
        arms = [make_arm(n) for n in (first, first + 1)]
        verdicts = [(register(store, arm), decision(store, arm))[1] for arm in arms]
        got = at_once(promote_slowly, list(zip(clones, verdicts, strict=True)))
        assert got.count("stale") == 1
        champion = next(number for number in got if number != "stale")
        assert state(store)["aliases"]["champion"] == champion
        assert state(store)["marks"][champion]["promotion"] == "done"
        assert store.reconcile([DIMENSION]) == []


def test_two_clones_that_register_the_same_arm_at_once_get_one_version(
    clones: tuple[Path, Path], store: Registry, make_arm: MakeArm
) -> None:
    before = len(store.list([DIMENSION]))
    got = at_once(register_arm, [(clone, make_arm(7)) for clone in clones])
    versions = {number for number in got if number != "busy"}
    assert len(versions) == 1 and len(store.list([DIMENSION])) == before + 1
    assert register(store, make_arm(7)) in versions


@contextmanager
def holder(root: Path, *, elsewhere: bool = False, seconds: float = SECONDS) -> Iterator[tuple[Any, Any]]:
    """A process that holds the registry, and the queue of what comes of it."""
    spawn = multiprocessing.get_context("spawn")
    results = spawn.Queue()
    process = spawn.Process(target=hold_and_write, args=(root, elsewhere, seconds, results))
    process.start()
    try:
        assert results.get(timeout=SECONDS) == "held"
        yield process, results
    finally:
        process.kill()
        process.join(SECONDS)


def test_a_killed_holder_of_this_machine_is_not_waited_for(
    clones: tuple[Path, Path], store: Registry
) -> None:
    with holder(clones[1]) as (process, _):
        told = f"process {process.pid} on .* is changing"
        with pytest.raises(Busy, match=told), store.lock(0.5):
            pass
        os.kill(process.pid, signal.SIGKILL)
        started = time.monotonic()
        with store.lock():
            assert time.monotonic() - started < lease.LEASE_SECONDS / 2


def test_a_killed_holder_elsewhere_is_waited_for(
    clones: tuple[Path, Path], store: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "LEASE_SECONDS", LEASE_SECONDS)
    with holder(clones[1], elsewhere=True) as (process, _):
        os.kill(process.pid, signal.SIGKILL)
        started = time.monotonic()
        with store.lock():
            assert LEASE_SECONDS / 2 < time.monotonic() - started < 10 * LEASE_SECONDS


def test_a_holder_that_was_stopped_for_too_long_writes_nothing(
    clones: tuple[Path, Path], store: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "LEASE_SECONDS", LEASE_SECONDS)
    with holder(clones[1], seconds=2 * LEASE_SECONDS) as (process, results):
        os.kill(process.pid, signal.SIGSTOP)
        with store.lock() as held:  # it is there, but its beat has stopped
            held.client.create_registered_model(f"instead-of-{process.pid}")
        os.kill(process.pid, signal.SIGCONT)
        assert "it writes nothing more" in results.get(timeout=SECONDS)
    assert not store.client.search_registered_models(f"name = 'by-{process.pid}'")


def test_a_server_that_hangs_during_a_promotion_is_waited_for_once(
    server: str, store: Registry, make_arm: MakeArm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Undoing the promotion and releasing the lock would each wait as long again."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "3")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    port, listening = int(server.rpartition(":")[2]), psutil.CONN_LISTEN
    held = [c.pid for c in psutil.net_connections("tcp4") if c.status == listening and c.laddr.port == port]
    group = os.getpgid(next(pid for pid in held if pid))
    arm = make_arm(11)
    register(store, arm)
    verdict, hung_at = decision(store, arm), []

    def hang(_folder: Path) -> None:
        hung_at.append(time.monotonic())
        os.killpg(group, signal.SIGSTOP)

    try:
        with pytest.raises(Unreachable, match="timed out|timeout"):
            store.promote(DIMENSION, verdict, smoke_test=hang, actor="test")
        assert time.monotonic() - hung_at[0] < 5
    finally:
        os.killpg(group, signal.SIGCONT)
    number = store.promote(DIMENSION, verdict, smoke_test=lambda folder: None, actor="test")
    assert state(store)["aliases"]["champion"] == number
