"""A registry to be broken: a project folder with a store alone, the ARMs that go into it, and its states."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from faults_child import Did, in_child
from faults_state import Facts, Kept, registry_facts

SECONDS = 60.0  # bound of one command on a toy store
DIMENSION = "toy"  # of the ARMs of tests/toy_arms.py


class Store:
    """A project folder with a registry alone, the ARMs that go into it, and its states."""

    def __init__(self, root: Path, arms: Sequence[Path], settings: Mapping[str, str] | None = None) -> None:
        self.root, self.arms = root, arms
        self.kept = Kept(root, root.with_name(f"{root.name} as it was"))
        local = {"MLFLOW_TRACKING_URI": f"sqlite:///{root / 'mlflow' / 'mlflow.db'}"}
        self.settings = dict(settings or local)
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
        for name in self.settings:
            del os.environ[name]

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

    def promote_over_base(self, n: int) -> int:
        """Make the ARM n the champion while there is none."""
        version = self.open().promote(
            DIMENSION, self.decision(n, -1), smoke_test=lambda folder: None, actor="test"
        )
        return int(version)

    def sha256(self, n: int) -> str:
        from genarm.models.arm import adapter_hash

        return adapter_hash(self.arms[n])

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
