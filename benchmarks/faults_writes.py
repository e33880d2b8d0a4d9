"""Kills between any two writes of one command, which is then typed again: it must have been done once.

Each trial puts a store back to a state, forks, lets the child die before its n-th write, runs the command
again in another child, and compares what is on record with a run that nobody killed.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from faults_campaign import Campaign
from faults_child import Death
from faults_counts import Counts
from faults_state import Facts, compare
from faults_store import Store

QUICK = 1  # kills of each command in a quick run
MAKING = 12  # kills in the making of an empty store, whose hundreds of writes are MLflow's own


@dataclass(frozen=True)
class Command:
    """A command that is killed: the state it starts from, and what it does; its value is JSON."""

    name: str
    state: str
    work: Callable[[], Any]


def commands(store: Store) -> list[Command]:
    """What is killed. A reconcile finds a promotion and a rollback that died in the middle."""
    for name, work in (("promotion", lambda: store.promote(3)), ("rollback", store.rollback)):
        store.kept.put_back("challenger 4")
        writes = store.child(work).writes
        store.kept.put_back("challenger 4")
        store.child(work, die=Death(writes // 2))
        store.kept.keep(f"half a {name}")
    return [
        Command("register", "champions 3", lambda: store.register(3)),
        Command("record_decision", "challenger 4", store.record),
        Command("promote", "challenger 4", lambda: store.promote(3)),
        Command("rollback", "champions 3", store.rollback),
        Command("rollback_to", "champions 3", lambda: store.rollback(1)),
        Command("rollback_base", "champions 3", lambda: store.rollback(0)),
        Command("snapshot", "champions 3", store.snapshot),
        Command("reconcile_promotion", "half a promotion", store.reconcile),
        Command("reconcile_rollback", "half a rollback", store.reconcile),
        Command("open", "nothing", lambda: str(store.open().uri)),
    ]


def between_writes(campaign: Campaign) -> Counts:
    """Every write of every command in a whole run; a few of each, drawn by seed, in a quick one."""
    counts, store = Counts(), campaign.store
    every = commands(store)
    for command in every:
        store.kept.put_back(command.state)
        whole = store.child(command.work)
        if whole.kind or whole.hung:
            raise SystemExit(f"{command.name} fails without a fault: {whole}")
        expected = store.must(store.facts) | _snapshot(store)
        for n in _moments(campaign, command, whole.writes):
            _trial(campaign, counts, store, command, expected, n, whole.writes)
    return counts


def _moments(campaign: Campaign, command: Command, writes: int) -> Sequence[int]:
    """The numbers of the writes before which it dies."""
    wanted = QUICK if campaign.quick else MAKING if command.name == "open" else writes
    if command.name == "open" and campaign.quick:
        wanted = 1
    return sorted(campaign.random.sample(range(writes), min(wanted, writes)))


def _trial(
    campaign: Campaign, counts: Counts, store: Store, command: Command, expected: Facts, n: int, writes: int
) -> None:
    what = f"{command.name}, killed before write {n} of {writes}"
    store.kept.put_back(command.state)
    torn = campaign.random.random() < 0.5
    died = store.child(command.work, die=Death(n, torn))
    counts.tried += 1
    counts.kills += died.killed
    again = store.child(command.work)
    if campaign.failed(counts, again, f"{what}: typed again"):
        return
    found = store.child(store.facts)
    if campaign.failed(counts, found, f"{what}: reading what is on record"):
        return
    said = f"; typed again it said: {again.error}" if again.kind else ""
    compare(counts, expected, found.value | _snapshot(store), what + said)
    campaign.advance(f"{command.name} {n + 1}/{writes}")


def _snapshot(store: Store) -> Facts:
    """The champions as their file says."""
    file: Path = store.root / "mlflow" / "champions.json"
    try:
        noted = json.loads(file.read_text()) if file.is_file() else {}
    except ValueError:
        return {"snapshot": ["not JSON"]}
    return {"snapshot": [f"{d}: {c and c['version']}" for d, c in noted.items()]}
