"""What tests of the registry run in processes of their own, which import it by this module's name."""

import multiprocessing
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from registry_toys import DIMENSION

from genarm import registry
from genarm.errors import StaleDecision
from genarm.types import Decision

SECONDS = 120  # in which a process has to answer


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
