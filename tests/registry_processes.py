"""What tests of the registry run in processes of their own, which import it by this module's name."""

import multiprocessing
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from registry_toys import DIMENSION, register

from genarm import registry
from genarm.errors import Busy, StaleDecision
from genarm.registry import lease
from genarm.system import owner
from genarm.types import Decision

SECONDS = 120  # in which a process has to answer
LEASE_SECONDS = 4.0  # of leases in these processes


def at_once(work: Callable[..., None], arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
    """What each of as many processes puts into a queue, its last argument; they must all end well."""
    spawn = multiprocessing.get_context("spawn")
    results = spawn.Queue()
    processes = [spawn.Process(target=work, args=(*each, results)) for each in arguments]
    for process in processes:
        process.start()
    for process in processes:
        process.join(SECONDS)
    assert [process.exitcode for process in processes] == [0] * len(processes)
    return [results.get(timeout=SECONDS) for _ in processes]


def open_store(root: Path, results: Any) -> None:
    results.put(registry.connect(root).champions([DIMENSION]))


def promote_slowly(root: Path, verdict: Decision, results: Any) -> None:
    def smoke_test(_folder: Path) -> None:
        time.sleep(0.5)

    try:
        opened = registry.connect(root)
        results.put(opened.promote(DIMENSION, verdict, smoke_test=smoke_test, actor="race"))
    except StaleDecision:
        results.put("stale")


def register_arm(root: Path, folder: Path, results: Any) -> None:
    try:
        results.put(register(registry.connect(root), folder))
    except Busy:
        results.put("busy")


def hold_and_write(root: Path, elsewhere: bool, seconds: float, results: Any) -> None:
    """Hold the registry, if need be as a process of another machine; write when `seconds` have passed."""
    lease.LEASE_SECONDS = LEASE_SECONDS
    if elsewhere:
        owner._machine = lambda: "elsewhere"  # type: ignore[assignment]
    store = registry.connect(root)
    try:
        with store.lock() as held:
            results.put("held")
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                time.sleep(0.05)
            held.client.create_registered_model(f"by-{os.getpid()}")
        results.put("written")
    except Busy as error:
        results.put(str(error))
