"""Each verb as a Prefect task.

A stage is one `dvc repro -s`, and only DVC caches. Stages are never retried: what fails there fails again,
and training goes on from its checkpoint. What asks a server is retried where the error says that it may pass
by itself.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from prefect import get_run_logger, task
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.runtime import deployment, flow_run

from genarm import registry
from genarm.config import load_params
from genarm.data import dvc as versioning
from genarm.errors import GenarmError
from genarm.models import arm as arms
from genarm.pipeline import stages
from genarm.pipeline import warm_start as starts
from genarm.system.files import read_curves, read_json, sha256, write_json
from genarm.system.layout import Layout
from genarm.types import Champion, Decision

Outcome = Literal["ran", "restored", "unchanged"]


def worth_retrying(_task: Any, _run: Any, state: Any) -> bool:
    """A server that is away is asked again; bad input fails once."""
    error = state.result(raise_on_failure=False)
    return isinstance(error, GenarmError) and error.retryable


ASKS_A_SERVER: dict[str, Any] = {
    "cache_policy": NO_CACHE,
    "retries": 3,
    "retry_delay_seconds": [2, 10, 30],
    "retry_condition_fn": worth_retrying,
}


@task(cache_policy=NO_CACHE, task_run_name="{name}")
def stage(root: Path, name: str) -> Outcome:
    """Reproduce one DVC stage; its output is the task's log."""
    log = get_run_logger()
    outcome = versioning.run_stage(root, name, on_line=log.info)
    log.info("%s: %s", name, outcome)
    return outcome


@task(**ASKS_A_SERVER)
def snapshot(root: Path, dimensions: Sequence[str]) -> dict[str, Champion | None]:
    """Mend what a killed run left half done, then write the champion aliases to mlflow/champions.json."""
    store = registry.connect(root)
    for line in store.reconcile(dimensions):
        get_run_logger().warning("registry: %s", line)
    return store.snapshot(Layout(root).champions, dimensions)


@task(**ASKS_A_SERVER)
def note_starts(root: Path) -> list[str]:
    """The dimensions that training starts elsewhere than before, now noted in mlflow/starts.json."""
    return starts.note_starts(root)


@task(task_run_name="register {dimension}", **ASKS_A_SERVER)
def register(root: Path, dimension: str) -> int:
    """Make the trained ARM a version and the challenger; the same adapter is registered once."""
    layout = Layout(root)
    version = registry.connect(root).register(
        dimension,
        layout.arm(dimension),
        weight=load_params(layout.params).respond.weights[dimension],
        metrics=read_json(layout.train_metrics(dimension), dict[str, float]),
        curves=read_curves(layout.train_curves(dimension)),
        lineage=server_ids() | {"git dirty": stages.git_dirty(root)},
    )
    noted = read_json(layout.lineage, dict[str, str]) if layout.lineage.is_file() else {}
    write_json(layout.lineage, noted | {f"version of {dimension}": str(version), **server_ids()})
    return version


@task(task_run_name="promote {decision.dimension}", **ASKS_A_SERVER)
def promote(root: Path, decision: Decision, *, carry_out: bool) -> Decision:
    """Log the decision in the registry and, where it says so, move the champion alias; what it came to.

    A version that was rolled back wins against the one before it as it did the first time: it is rejected.
    """
    store, layout = registry.connect(root), Layout(root)
    if decision.outcome == "promote" and (
        why := store.blocked(decision.dimension, decision.challenger_sha256)
    ):
        decision = replace(decision, outcome="reject", reasons=[why, *decision.reasons])
    report = sha256(layout.report / "report.json")
    actor = server_ids().get("flow run", "flow")
    store.record_decision(
        decision, actor=actor, report_sha256=report, report=layout.report, lineage=server_ids()
    )
    if decision.outcome == "promote" and carry_out:
        dimension = decision.dimension
        store.promote(
            dimension,
            decision,
            smoke_test=lambda folder: stages.smoke_test(root, dimension, folder),
            actor=actor,
            report_sha256=report,
        )
    return decision


@task(cache_policy=NO_CACHE)
def publish(root: Path, decisions: Sequence[Decision]) -> None:
    """The decisions as a table and the report as Markdown, on the page of the flow run."""
    rows = [
        {"dimension": d.dimension, "decision": d.outcome, "why": " / ".join(d.reasons)} for d in decisions
    ]
    create_table_artifact(rows, key="decision", description="promote, hold, reject or same, and why")
    report = Layout(root).report / "report.md"
    if any(d.outcome != "same" for d in decisions) and report.is_file():  # else it is that of an earlier run
        create_markdown_artifact(report.read_text(encoding="utf-8"), key="report")


def is_champion(root: Path, dimension: str, champion: Champion) -> bool:
    """Whether the trained ARM is the version in use already, byte for byte."""
    return champion.adapter_sha256 == arms.adapter_hash(Layout(root).arm(dimension))


def server_ids() -> dict[str, str]:
    """What leads from a version back to the flow run that made it."""
    ids = {"flow run": flow_run.get_id(), "deployment": deployment.get_name()}
    return {name: str(value) for name, value in ids.items() if value}
