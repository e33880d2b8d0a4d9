"""A lease in the registry is a lock that all who share the registry share, also after its holder is gone."""

import contextlib
import dataclasses
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from registry_toys import DIMENSION, DIMENSIONS, BringChampions, MakeArm, decision, promote, register, state

from genarm.errors import Busy
from genarm.registry import Registry, lease, tags
from genarm.system.owner import Owner


@pytest.fixture
def shared(store: Registry) -> Registry:
    """A store whose lock is a lease, as that of a server is; on SQLite, which is quicker."""
    return dataclasses.replace(store, lock_file=None)


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> float:
    monkeypatch.setattr(lease, "LEASE_SECONDS", 2.0)
    return 2.0


def take_over(store: Registry) -> None:
    """What another machine does once the lease has run out for it."""
    (latest, *_) = lease.leases(store.client)
    number = tags.lease_number(latest.name)
    assert number is not None
    store.client.create_registered_model(tags.lease_name(number + 1), {tags.LEASE_TOKEN: "another"})


def as_another_machine(store: Registry) -> None:
    """Let the latest lease be one of a process that is not seen from here."""
    (latest, *_) = lease.leases(store.client)
    store.client.set_registered_model_tag(latest.name, tags.LEASE_MACHINE, "elsewhere")
    store.client.set_registered_model_tag(latest.name, tags.LEASE_HOST, "elsewhere")


def test_a_lease_is_held_by_one_and_released(shared: Registry) -> None:
    with shared.lock():
        started = time.monotonic()
        told = r"process \d+ on .*, since 20.* is changing the registry"
        with pytest.raises(Busy, match=told) as caught, shared.lock(0.3):
            pass
        assert caught.value.retryable and time.monotonic() - started < 5
    with shared.lock(0):
        pass
    assert [model.name for model in lease.leases(shared.client)] == ["genarm-lease.000000000002"]
    assert "no model" in lease.leases(shared.client)[0].description
    assert shared.list([*DIMENSIONS, "lease"]) == [], "a lease is no dimension"


def test_of_many_threads_one_holds_it_at_a_time(shared: Registry) -> None:
    inside, most, done = 0, 0, []

    def work() -> None:
        nonlocal inside, most
        for _ in range(3):
            with shared.lock():
                inside += 1
                most = max(most, inside)
                time.sleep(0.02)
                inside -= 1
        done.append(True)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert (len(done), most) == (4, 1)


def test_a_holder_that_has_ended_on_this_machine_is_not_waited_for(shared: Registry) -> None:
    ended = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    started = psutil.Process(ended.pid).create_time() - psutil.boot_time()
    owner = Owner(Owner.here().host, Owner.here().machine, ended.pid, started)
    assert not owner.is_gone and not Owner.here().is_gone
    assert dataclasses.replace(owner, started=started - 60).is_gone, "another process has this id by now"
    known = {
        tags.LEASE_HOST: owner.host,
        tags.LEASE_MACHINE: owner.machine,
        tags.LEASE_PID: str(owner.pid),
        tags.LEASE_STARTED: repr(owner.started),
    }
    shared.client.create_registered_model(tags.lease_name(7), known)
    with pytest.raises(Busy, match=f"process {ended.pid} on"), shared.lock(0.2):
        pass
    ended.kill()
    time.sleep(0.2)
    assert owner.is_gone, "a zombie holds nothing"
    with shared.lock(0.2):
        pass
    ended.communicate()
    assert owner.is_gone and not dataclasses.replace(owner, machine="elsewhere").is_gone
    assert lease.leases(shared.client)[0].name.endswith("8")


@pytest.mark.skipif(not psutil.LINUX, reason="elsewhere psutil reads the start of a process in other ways")
def test_a_clock_that_is_set_ends_no_holder(monkeypatch: pytest.MonkeyPatch) -> None:
    owner, booted = Owner.here(), psutil.boot_time()
    monkeypatch.setattr("psutil._pslinux.boot_time", lambda: booted + 3600)
    assert psutil.Process().create_time() > time.time() and not owner.is_gone


def test_a_file_that_a_server_has_held_a_lease_in_is_locked_both_ways(
    store: Registry, shared: Registry
) -> None:
    """The first opens the file, the second stands for a client of a server in front of it."""
    with store.lock():
        assert lease.leases(store.client) == [], "a file alone needs none"
    with shared.lock(), pytest.raises(Busy, match="is changing the registry"), store.lock(0.3):
        pass
    with store.lock(), pytest.raises(Busy, match="is changing the registry"), shared.lock(0.3):
        pass
    with shared.lock(0.3):
        pass


class OtherUser:
    """A client on a server with logins: it may create models, but not change those of others."""

    def __init__(self, store: Registry, *, sees: bool) -> None:
        self.store, self.sees = store, sees

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store.client, name)

    def search_registered_models(self, *args: Any, **kwargs: Any) -> Any:
        return self.store.client.search_registered_models(*args, **kwargs) if self.sees else []

    def delete_registered_model(self, name: str) -> None:
        from mlflow.exceptions import MlflowException
        from mlflow.protos.databricks_pb2 import PERMISSION_DENIED

        raise MlflowException("Permission denied", PERMISSION_DENIED)


def test_leases_of_other_users_are_no_obstacle_or_told(shared: Registry) -> None:
    with shared.lock():
        pass
    with dataclasses.replace(shared, client=OtherUser(shared, sees=True)).lock():  # type: ignore[arg-type]
        pass
    assert len(lease.leases(shared.client)) == 2, "that of the other user stays"
    with shared.lock():
        pass
    assert len(lease.leases(shared.client)) == 1
    shared.client.rename_registered_model(tags.lease_name(3), tags.lease_name(1))
    blind = dataclasses.replace(shared, client=OtherUser(shared, sees=False))  # type: ignore[arg-type]
    with pytest.raises(Busy, match="not shown to this user") as caught, blind.lock(0.3):
        pass
    assert "permission to read the models genarm-lease." in caught.value.hint


def test_a_holder_elsewhere_is_waited_for_until_its_beat_stops(shared: Registry, short: float) -> None:
    with contextlib.ExitStack() as stack:
        held = stack.enter_context(shared.lock())
        as_another_machine(shared)
        with pytest.raises(Busy, match="on elsewhere"), shared.lock(1.5 * short):
            pass
        held.client.create_registered_model("written")
    shared.client.create_registered_model(tags.lease_name(9), {tags.LEASE_HOST: "elsewhere"})
    started = time.monotonic()
    with shared.lock(10 * short):
        assert short <= time.monotonic() - started < 5 * short


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch, short: float) -> None:
    """Holders that renew nothing, as one that is stopped."""
    monkeypatch.setattr(lease._Lease, "beat_until", lambda self, stop: None)


def test_a_holder_whose_lease_has_run_out_writes_nothing(
    shared: Registry, silent: None, short: float
) -> None:
    with shared.lock() as stopped:
        as_another_machine(shared)
        time.sleep(short)
        with pytest.raises(Busy, match="it writes nothing more"):  # though nobody has taken over yet
            stopped.client.create_registered_model("too late")
        with shared.lock(5 * short) as other:
            with pytest.raises(Busy, match="it writes nothing more"):
                stopped.client.create_registered_model("too late")
            other.client.create_registered_model("in time")
            assert stopped.client.search_registered_models("name = 'too late'") == []
    assert tags.LEASE_RELEASED in lease.leases(shared.client)[0].tags, "by the other, not by the stopped"


def test_a_lease_created_after_higher_ones_came_and_went_is_none(shared: Registry) -> None:
    for _ in range(3):
        with shared.lock():
            pass
    late = lease._Lease(shared.client, "here", 2)
    assert not late.create() and not lease._Lease(shared.client, "here", 3).create()
    with shared.lock(0):
        assert [tags.lease_number(model.name) for model in lease.leases(shared.client)] == [4]


def test_a_request_that_mlflow_sends_twice_is_one_lease(shared: Registry) -> None:
    class Twice:
        def __getattr__(self, name: str) -> Any:
            call = getattr(shared.client, name)
            if name != "create_registered_model":
                return call

            def create(*args: Any) -> Any:
                call(*args)
                return call(*args)

            return create

    with dataclasses.replace(shared, client=Twice()).lock(0):  # type: ignore[arg-type]
        pass


@pytest.mark.parametrize("act", ["register", "promote", "rollback"])
def test_who_is_overtaken_in_the_middle_stops_there(
    shared: Registry, make_arm: MakeArm, champions_so_far: BringChampions, act: str
) -> None:
    """Another process takes over before each write in turn: never success, and the rest is repaired."""
    champions_so_far(2)
    if act == "promote":
        register(shared, make_arm(2))
    verdict, before = decision(shared, make_arm(2)), state(shared)["aliases"]
    acts: dict[str, Callable[[Registry], Any]] = {
        "register": lambda store: register(store, make_arm(2)),
        "promote": lambda store: promote(store, make_arm(2), decision=verdict),
        "rollback": lambda store: store.rollback(DIMENSION, "too long"),
    }
    for overtaken in (3,) if act == "rollback" else (1, 3, 5):
        client = Overtaken(shared, overtaken)
        with pytest.raises(Busy, match="another may have taken over"):
            acts[act](dataclasses.replace(shared, client=client))  # type: ignore[arg-type]
        assert client.writes == overtaken, "nothing is written after that"
        for model in lease.leases(shared.client):  # else the next one would wait until they run out
            shared.client.delete_registered_model(model.name)
        shared.reconcile(DIMENSIONS)
        if act != "rollback":  # which is completed
            assert state(shared)["aliases"] == before
    if act != "rollback":
        acts[act](shared)
        assert [row["version"] for row in shared.list([DIMENSION])] == [3, 2, 1]
    assert state(shared)["aliases"].get("champion") == {"register": 2, "promote": 3, "rollback": 1}[act]


class Overtaken:
    """A client after whose n-th write another process takes the registry over."""

    def __init__(self, store: Registry, last: int) -> None:
        self.store, self.last, self.writes = store, last, 0

    def __getattr__(self, name: str) -> Any:
        call = getattr(self.store.client, name)
        if name.startswith(lease.READS) or ("registered_model" in name and "alias" not in name):
            return call

        def write(*args: Any, **kwargs: Any) -> Any:
            result = call(*args, **kwargs)
            self.writes += 1
            if self.writes == self.last:
                take_over(self.store)
            return result

        return write


def test_two_clones_may_share_a_database(store: Registry, make_arm: MakeArm, tmp_path: Path) -> None:
    """Without a server the files are in the folder of the clone that came first."""
    first = dataclasses.replace(store, lock_file=None, folder=tmp_path / "first")
    second = dataclasses.replace(store, lock_file=None, folder=tmp_path / "second")
    assert register(first, make_arm(0)) == 1
    assert (register(second, make_arm(0)), register(second, make_arm(1))) == (1, 2)
