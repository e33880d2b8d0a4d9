"""Clones of a project change one registry at once and are killed meanwhile: what is lost, doubled or untrue?

    python benchmarks/faults_registry.py --changes 200 --kills 40     all of it
    python benchmarks/faults_registry.py --race 4                     two clones promote at once, four times

The registry is real: an `mlflow server` over PostgreSQL. ARMs are a few bytes, so that a change takes a
fraction of a second. Half of the commands that were killed are typed again, as a person would.
"""

import argparse
import json
import multiprocessing
import random
import sys
import tempfile
import time
from collections import Counter, defaultdict
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))  # the server of the tests

from registry_acts import ARMS, Change, make_arm, promote_at, work
from registry_server import mlflow_server

SECONDS = 400.0  # after which a change counts as hung: longer than anybody waits for the lock


class Clone:
    """A worker process in a clone's folder: takes changes, answers with what came of each."""

    def __init__(self, context: Any, folder: Path, address: str) -> None:
        self.folder = folder
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=work, args=(folder, address, theirs), daemon=True)
        self.process.start()
        theirs.close()
        self.change: Change | None = None
        self.kill_at = float("inf")
        self.since = time.monotonic()

    def send(self, change: Change, kill_in: float | None) -> None:
        self.change, self.since = change, time.monotonic()
        self.kill_at = self.since + kill_in if kill_in is not None else float("inf")
        self.connection.send(change)

    def end(self) -> None:
        self.process.kill()
        self.process.join()
        self.connection.close()


def clones_on_one_server(
    folder: Path, *, changes: int, kills: int, processes: int = 8, clones: int = 4, seed: int
) -> dict[str, int]:
    """Promotions and rollbacks of several processes in several clones, some of them killed with SIGKILL.

    tried     changes, commands typed again after a kill included
    lost      changes told or recorded as done that a later one did not build upon, or that left no champion
    double    rollbacks that happened twice
    crashed   commands that ended with anything but success or an expected refusal
    hung      commands that took longer than SECONDS
    silent    successes that the trail does not hold
    kills     of the `kills` that are asked for, those that met a command before it ended
    """
    folder.mkdir(parents=True, exist_ok=True)
    with mlflow_server(folder) as address:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["mlflow", "mlflow.pyfunc", "genarm.registry"])
        for number in range(ARMS):
            _ask(context, folder / "clone 0", address, Change("register", 0, str(make_arm(folder, number))))
        told, counts = _campaign(context, folder, address, changes, kills, processes, clones, seed)
        trail = _ask(context, folder / "clone 0", address, Change("trail", 0, ""))
    return dict(counts) | _judge(told, trail)


def _campaign(
    context: Any, folder: Path, address: str, changes: int, kills: int, processes: int, clones: int, seed: int
) -> tuple[list[tuple[Change, str]], Counter[str]]:
    """Every change with what was told of it, and the counts that are known by then."""
    draw = random.Random(seed)
    killed = set(draw.sample(range(changes), kills))
    todo = [
        Change("rollback" if draw.random() < 0.3 else "promote", n, str(draw.randrange(1, ARMS + 1)))
        for n in range(changes)
    ]
    counts = Counter({name: 0 for name in ("tried", "lost", "double", "crashed", "hung", "silent", "kills")})
    told: list[tuple[Change, str]] = []
    took = [1.0]
    workers = [Clone(context, folder / f"clone {n % clones}", address) for n in range(processes)]
    again: dict[int, Change] = {}  # by the position of the worker whose command was killed
    while todo or again or any(worker.change for worker in workers):
        for n, worker in enumerate(workers):
            if worker.change is None and (n in again or todo):
                change = again.pop(n, None) or todo.pop(0)
                dies = change.number in killed
                killed.discard(change.number)
                counts["tried"] += 1
                worker.send(change, draw.uniform(0, 1.2) * sum(took) / len(took) if dies else None)
        soonest = min(worker.kill_at for worker in workers)
        ready = wait(
            [worker.connection for worker in workers if worker.change],
            timeout=max(0.0, min(soonest - time.monotonic(), 1.0)),
        )
        for n, worker in enumerate(workers):
            if worker.change is None:
                continue
            change, age = worker.change, time.monotonic() - worker.since
            if worker.connection in ready and time.monotonic() < worker.kill_at:
                told.append((change, worker.connection.recv()))
                took = [*took[-9:], age]
                if worker.kill_at < float("inf"):  # it was quicker than that: another is killed
                    killed.update([c.number for c in todo if c.number not in killed][:1])
                worker.change, worker.kill_at = None, float("inf")
            elif age > SECONDS or time.monotonic() >= worker.kill_at:
                counts["hung" if age > SECONDS else "kills"] += 1
                worker.end()
                told.append((change, "killed"))
                workers[n] = Clone(context, worker.folder, address)
                if draw.random() < 0.5:
                    again[n] = change
    for worker in workers:
        worker.end()
    counts["crashed"] = sum(outcome.startswith("crashed") for _, outcome in told)
    for change, outcome in told:
        if outcome.startswith("crashed"):
            print(f"{change}: {outcome}", file=sys.stderr)
    return told, counts


def _judge(told: list[tuple[Change, str]], trail: dict[str, Any]) -> dict[str, int]:
    """What the trail says after recovery, against what was told."""
    by_actor: dict[str, list[tuple[str, int, int]]] = defaultdict(list)
    # Each change goes from one champion to the next. They form one way from none to the present champion, on
    # which each arrival is followed by a departure, unless a change was lost.
    balance = Counter({0: 1})
    balance[trail["champion"]] -= 1
    for actor, came_from, went_to in trail["carried_out"]:
        balance[came_from] -= 1
        balance[went_to] += 1
        by_actor[actor].append((actor, came_from, went_to))
    lost = sum(abs(difference) for difference in balance.values()) // 2 + (trail["champions"] != 1)
    silent = sum(
        outcome.startswith("done")
        and (change.actor, int(outcome.split()[1])) not in {(a, to) for a, _, to in by_actor[change.actor]}
        for change, outcome in told
    )
    double = sum(
        len(by_actor[actor]) > 1
        for actor in {change.actor for change, _ in told if change.verb == "rollback"}
    )
    return {"lost": lost, "silent": silent, "double": double}


def _ask(context: Any, folder: Path, address: str, change: Change) -> Any:
    worker = Clone(context, folder, address)
    worker.send(change, None)
    answer = worker.connection.recv()
    worker.end()
    return answer


def two_clones_promote_at_once(folder: Path, *, rounds: int) -> dict[str, int]:
    """Two clones promote different ARMs against the same champion at the same moment, `rounds` times.

    `lost` counts successes that were told though the version is not the champion afterwards.
    """
    counts = Counter({"tried": 0, "told": 0, "stale": 0, "other": 0, "lost": 0})
    context = multiprocessing.get_context("spawn")
    folder.mkdir(parents=True, exist_ok=True)
    with mlflow_server(folder) as address:
        for number in range(2 * rounds):
            _ask(context, folder / "clone 0", address, Change("register", 0, str(make_arm(folder, number))))
        for number in range(rounds):
            barrier, results = context.Barrier(2), context.Queue()
            pair = [
                context.Process(
                    target=promote_at,
                    args=(folder / f"clone {n}", address, 2 * number + n + 1, barrier, results),
                )
                for n in range(2)
            ]
            for process in pair:
                process.start()
            outcomes = [results.get(timeout=SECONDS) for _ in pair]
            for process in pair:
                process.join()
            trail = _ask(context, folder / "clone 0", address, Change("trail", 0, ""))
            done = [int(outcome.split()[1]) for outcome in outcomes if outcome.startswith("done")]
            counts["tried"] += 2
            counts["told"] += len(done)
            counts["stale"] += outcomes.count("stale")
            counts["other"] += 2 - len(done) - outcomes.count("stale")
            counts["lost"] += sum(version != trail["champion"] for version in done)
    return dict(counts)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--changes", type=int, default=200)
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--race", type=int, default=0, metavar="ROUNDS")
    chosen = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as temporary:
        if chosen.race:
            figures = two_clones_promote_at_once(Path(temporary), rounds=chosen.race)
        else:
            figures = clones_on_one_server(
                Path(temporary), changes=chosen.changes, kills=chosen.kills, seed=chosen.seed
            )
    print(json.dumps(figures | {"seconds": round(time.monotonic() - started)}))
