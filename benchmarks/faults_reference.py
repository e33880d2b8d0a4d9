"""The run that nobody harms: what it leaves is what every harmed one must leave in the end."""

import json
import time
from pathlib import Path

from faults_child import in_child
from faults_project import DIMENSION, RUN_SECONDS, copy_project, genarm
from faults_state import Facts, Kept, registry_facts
from ruamel.yaml import YAML

MEASURED = "measured"  # the state in which the challenger is measured, but not promoted


class Reference:
    """A project, first run without promoting, then to its end; its outcome, and how long it took."""

    def __init__(self, fresh: Path, folder: Path, settings: dict[str, str]) -> None:
        self.root, self.settings = copy_project(fresh, folder / "reference"), settings
        self.kept = Kept(self.root, folder / "reference as it was")
        began = time.monotonic()
        self._must("run", "--no-promote")
        self.kept.keep(MEASURED)
        self._must("run")
        self.seconds = time.monotonic() - began
        self.outcome = outcome(self.root)

    def _must(self, *words: str) -> None:
        ended = genarm(self.root, *words, seconds=RUN_SECONDS, more=self.settings)
        if ended.code != 0:
            raise SystemExit(f"genarm {' '.join(words)} fails without a fault:\n{ended.output[-4000:]}")


def outcome(project: Path, settings: dict[str, str] | None = None) -> Facts:
    """What a run leaves: bytes of every output, decision, registry and trail; no times and no ids.

    Raises SystemExit where it cannot be read.
    """
    uri = {"MLFLOW_TRACKING_URI": f"sqlite:///{project / 'mlflow' / 'mlflow.db'}"}
    did = in_child(
        lambda: registry_facts(project, DIMENSION, champions_file=True),
        root=project,
        seconds=RUN_SECONDS,
        settings=settings or uri,
    )
    if did.kind or did.hung:
        raise SystemExit(f"{project}: what is on record cannot be read: {did.error or did}")
    facts: Facts = did.value
    metrics = f"artifacts/train/{DIMENSION}/metrics.json"
    lock = YAML(typ="safe").load((project / "dvc.lock").read_text())["stages"]
    facts["outputs"] = [
        f"{out['path']} {out['md5']}"
        for stage in lock.values()
        for out in stage.get("outs", [])
        if out["path"] not in ("artifacts/report", metrics)  # names its runs; holds seconds
    ]
    facts["metrics"] = [
        f"{name} {value}"
        for name, value in json.loads((project / metrics).read_text()).items()
        if name != "train/seconds"
    ]
    facts["decisions"] = decisions(project)
    return facts


def decisions(project: Path) -> list[str]:
    """What was decided, with the reasons."""
    noted = json.loads((project / "artifacts" / "decisions.json").read_text())
    return [f"{d}: {v['outcome']} {v['reasons']}" for d, v in noted.items()]
