"""Kills between any two writes of one command, which is then typed again: it must have been done once.

Each trial puts a store back to a state, forks, lets the child die before its n-th write, runs the command
again in another child, and compares what is on record with a run that nobody killed.
"""

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from faults_campaign import Campaign
from faults_child import Death, Did, in_child
from faults_counts import Counts
from faults_state import Facts, Kept, compare, registry_facts

SECONDS = 60.0  # bound of one command on a toy store
DIMENSION = "toy"  # of the ARMs of tests/toy_arms.py
QUICK = 2  # kills of each command in a quick run
MAKING = 12  # kills in the making of an empty store, whose hundreds of writes are MLflow's own


@dataclass(frozen=True)
class Command:
    """A command that is killed: the state it starts from, and what it does; its value is JSON."""

    name: str
    state: str
    work: Callable[[], Any]


class Store:
    """A project folder with a registry alone, the ARMs that go into it, and its states."""

    def __init__(self, root: Path, arms: Sequence[Path]) -> None:
        self.root, self.arms = root, arms
        self.kept = Kept(root, root.with_name(f"{root.name} as it was"))
        self.settings = {"MLFLOW_TRACKING_URI": f"sqlite:///{root / 'mlflow' / 'mlflow.db'}"}
        (root / "mlflow").mkdir(parents=True)

    def warm(self) -> None:
        """Do everything once in this process, so that forked children have all imports and caches."""
        import tqdm

        tqdm.tqdm.monitor_interval = 0  # a thread less
        os.environ |= self.settings
        self.register(0)
        self.promote(0)
        self.rollback(0)
        self.snapshot()
        self.facts()

    def prepare(self) -> None:
        """Make the states that commands start from: three champions one after the other, and a challenger."""
        self.kept.keep("nothing")
        for n in range(3):
            self.must(lambda n=n: self.register(n))
            self.must(lambda n=n: self.promote(n))
        self.kept.keep("champions 3")
        self.must(lambda: self.register(3))
        self.kept.keep("challenger 4")

    def child(self, work: Callable[[], Any], **how: Any) -> Did:
        """Do some work on the store in a process of its own."""
        return in_child(work, root=self.root, seconds=SECONDS, settings=self.settings, **how)

    def must(self, work: Callable[[], Any]) -> Any:
        """As `child`; raises SystemExit where it fails without any fault."""
        did = self.child(work)
        if did.kind or did.killed or did.hung:
            raise SystemExit(f"{self.root}: {did}")
        return did.value

    def open(self) -> Any:
        from genarm import registry

        return registry.connect(self.root)

    def facts(self) -> Facts:
        return registry_facts(self.root, DIMENSION)

    def register(self, n: int) -> int:
        metrics, curves = {"accuracy_after": 0.7}, [{"step": 10, "loss": 0.7}, {"step": 20, "loss": 0.6}]
        version = self.open().register(DIMENSION, self.arms[n], metrics=metrics, curves=curves)
        return int(version)

    def decision(self, n: int, champion: int) -> Any:
        """The decision that makes the ARM n the champion after the ARM `champion`, -1 for the base."""
        from genarm.models.arm import adapter_hash, read_card
        from genarm.types import Champion, Decision

        against = None
        if champion >= 0:
            version = self.open().show(DIMENSION, champion + 1)
            folder = self.arms[champion]
            against = Champion(
                champion + 1, version["model_id"], adapter_hash(folder), read_card(folder).weight
            )
        return Decision(DIMENSION, "promote", ["win rate 0.71"], adapter_hash(self.arms[n]), against)

    def promote(self, n: int) -> int:
        version = self.open().promote(
            DIMENSION, self.decision(n, n - 1), smoke_test=lambda folder: None, actor="test"
        )
        return int(version)

    def record(self) -> str:
        report = self.root / "report"
        report.mkdir(exist_ok=True)
        (report / "report.json").write_text(json.dumps({"a": 1}))
        self.open().record_decision(self.decision(3, 2), actor="test", report=report)
        return "recorded"

    def rollback(self, *to: int) -> int:
        return int(self.open().rollback(DIMENSION, "too long", *to, actor="test"))

    def snapshot(self) -> str:
        self.open().snapshot(self.root / "mlflow" / "champions.json", [DIMENSION])
        return "written"

    def reconcile(self) -> str:
        self.open().reconcile([DIMENSION])
        return "reconciled"


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
    counts, arms = Counts(), campaign.arms(4)
    campaign.advance("preparing a store")
    Store(campaign.folder / "a warm store", arms).warm()
    store = Store(campaign.folder / "a store", arms)
    store.prepare()
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
