"""The main flow: new preference data in, a promotion decision out.

Prefect decides when, DVC remembers what, MLflow remembers how well.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout
from prefect import flow
from rich.console import Console

from genarm.config import load_params
from genarm.data import dvc as versioning
from genarm.errors import Busy, StaleDecision
from genarm.pipeline import stages
from genarm.report.closing import closing_block
from genarm.system import env
from genarm.system.layout import Layout
from genarm.types import Champion, Decision

from . import tasks


@flow
def align(root: str | None = None, promote: bool = True) -> list[Decision]:
    """Train what changed, judge what is new, promote what is better, and say why.

    root: the project's folder. promote: carry the decision out, or only report it.
    """
    started, folder = time.monotonic(), env.project_root(Path(root) if root else None)
    params = load_params(folder / "params.yaml")
    dimensions, decided = params.dimensions, {}
    with alone(folder):
        champions = tasks.snapshot(folder, dimensions)
        tasks.note_starts(folder)
        run = Stages(folder)
        run("data.dvc", "pairs")
        run.changed |= {f"train@{d}" for d in tasks.note_starts(folder)}  # which depends on the data
        run(*(f"train@{d}" for d in dimensions))
        for dimension in dimensions:
            tasks.register(folder, dimension)
        in_use = {d: c for d, c in champions.items() if c and tasks.is_champion(folder, d, c)}
        new = [d for d in dimensions if d not in in_use]
        if new:
            run("respond-base")
            for dimension in new:
                run(*(f"{stage}@{dimension}" for stage in ("respond", "respond-champion", "judge")))
            run("decide", "report")
            for dimension, decision in stages.read_decisions(folder).items():
                if dimension in new:
                    _same_champion(dimension, decision.champion, champions[dimension])
                    decided[dimension] = tasks.promote(folder, decision, carry_out=promote)
            tasks.snapshot(folder, dimensions)
        weights = params.respond.weights
        decisions = [decided.get(d) or same(d, in_use[d], weights[d]) for d in dimensions]
        tasks.publish(folder, decisions)
    Console().print(closing_block(folder, decisions, time.monotonic() - started))
    return decisions


def same(dimension: str, champion: Champion, weight: float) -> Decision:
    """Nothing to decide: the trained ARM is the version in use, byte for byte."""
    reasons = [
        f"{dimension}: the adapter {champion.adapter_sha256[:12]} is version {champion.version} already"
    ]
    if champion.weight != weight:
        reasons.append(
            f"{dimension}: it stays at weight {champion.weight:g}; "
            f"the {weight:g} of params.yaml is for the next ARM"
        )
    return Decision(dimension, "same", reasons, champion.adapter_sha256, champion)


def _same_champion(dimension: str, now: Champion | None, then: Champion | None) -> None:
    """Refuse a decision against another champion than the one whose answers this run may have judged."""
    if now != then:
        versions = [f"version {c.version}" if c else "the base model" for c in (then, now)]
        raise StaleDecision(
            f"{dimension}: the champion was {versions[0]} when this run began and is {versions[1]} now",
            hint="somebody promoted or rolled back meanwhile; measure against that one: genarm run",
        )


class Stages:
    """Runs stages in order; DVC is asked only of a stage that changed, or that follows one that ran."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.changed = set(versioning.status(root))
        self.ran = False

    def __call__(self, *names: str) -> None:
        for name in names:
            if self.ran or name in self.changed:
                self.ran |= tasks.stage(self.root, name) != "unchanged"


@contextmanager
def alone(root: Path) -> Iterator[None]:
    """One run a project at a time. Raises Busy that names the process of the other one."""
    path = Layout(root).lock
    path.parent.mkdir(parents=True, exist_ok=True)
    holder = path.with_suffix(".pid")
    try:
        lock = FileLock(path, timeout=0).acquire()
    except Timeout:
        who = holder.read_text(encoding="ascii") if holder.is_file() else "unknown"
        raise Busy(
            f"another run of this project is going on (process {who})",
            hint="wait for it to end, or stop it; what it has done is kept",
        ) from None
    with lock:
        holder.write_text(str(os.getpid()), encoding="ascii")
        yield


if __name__ == "__main__":
    align()
