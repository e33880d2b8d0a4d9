"""Each verb as a Prefect task.

A stage is one `dvc repro -s`, and only DVC caches. Stages are never retried: what fails there fails again,
and training resumes from its checkpoint. What asks a server is retried where the error may pass by itself.
"""

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any, cast

from prefect import get_run_logger, task
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.runtime import deployment, flow_run

from genarm import registry
from genarm.data import dvc, dvc_mend
from genarm.data.dvc_output import StageOutcome
from genarm.errors import GenarmError
from genarm.pipeline import warm_start
from genarm.pipeline.lineage import git_dirty
from genarm.pipeline.measured import measured
from genarm.pipeline.preflight import require_once
from genarm.pipeline.project import Project
from genarm.pipeline.registry_fetch import fetch_version
from genarm.pipeline.smoke_test import smoke_test
from genarm.pipeline.stage_names import REGISTER, TRAIN, stage_of
from genarm.pipeline.stage_summary import summary, title_of
from genarm.pipeline.verify import verify_decision, verify_inputs
from genarm.registry import tags
from genarm.system.files import read_curves, read_json, sha256, write_json
from genarm.types import Champion, Decision

from .run_console import following, told


def worth_retrying(_task: Any, _run: Any, state: Any) -> bool:
    """Whether to run a failed task again: a server that is away is asked again, bad input fails once."""
    error = state.result(raise_on_failure=False)
    again = isinstance(error, GenarmError) and error.retryable
    if again:
        get_run_logger().warning("%s; it is tried again", error.message, **told())
    return again


ASKS_A_SERVER: dict[str, Any] = {
    "cache_policy": NO_CACHE,
    "retries": 3,
    "retry_delay_seconds": [2, 10, 30],
    "retry_condition_fn": worth_retrying,
}


def stage_title(parameters: dict[str, Any]) -> str:
    """The name of a task that is a stage."""
    return title_of(parameters["name"])


@task(cache_policy=NO_CACHE, task_run_name=cast(Any, stage_title))
def stage(project: Project, name: str) -> StageOutcome:
    """Reproduce one DVC stage; its output is the task's log, and its last line what was done."""
    log, began = get_run_logger(), time.monotonic()
    try:
        with following(title_of(name)) as output:
            outcome = dvc.run_stage(project.root, name, on_line=output.line)
    except GenarmError:
        log.info("failed after %s", seconds(began), **told())
        raise
    if outcome == "unchanged":
        log.info("unchanged", **told())
    else:
        how = "as computed before" if outcome == "restored" else seconds(began)
        done = summary(project, name)
        log.info("%s%s", f"{done}, " if done else "", how, **told())
    return outcome


def seconds(began: float) -> str:
    """How long it is since `began`, as a line has it."""
    passed = time.monotonic() - began
    return f"{passed:.0f} s" if passed >= 10 else f"{passed:.1f} s"


@task(cache_policy=NO_CACHE, task_run_name="mend data")
def mend_data(project: Project) -> bool:
    """Complete or undo a change of the data that was cut short, and say so; returns whether there was one."""
    lines = dvc_mend.mend(project.root)
    for line in lines:
        get_run_logger().warning("data: %s", line, **told())
    return bool(lines)


@task(cache_policy=NO_CACHE, task_run_name="check what can be known")
def preflight(project: Project, *, anew: bool = False) -> None:
    """Refuse at once what could not end well, and tell what is odd about it.

    `genarm run` has checked before it started the flow, and that serves, unless `anew` says otherwise.
    """
    for result in require_once(project, anew=anew):
        get_run_logger().warning("%s: %s; hint: %s", result.check, result.detail, result.fix, **told())


@task(task_run_name="write champions.json", **ASKS_A_SERVER)
def snapshot(project: Project) -> dict[str, Champion | None]:
    """Mend what a killed run left half done, then write the champion aliases to mlflow/champions.json."""
    store, dimensions = registry.connect(project.root), list(project.params.dimensions)
    for line in store.reconcile(dimensions):
        get_run_logger().warning("registry: %s", line, **told())
    return store.snapshot(project.layout.champions, dimensions)


@task(task_run_name="note where training starts", **ASKS_A_SERVER)
def note_starts(project: Project) -> list[str]:
    """Write mlflow/starts.json; returns the dimensions whose training now starts from another version."""
    return warm_start.note_starts(project, partial(fetch_version, project))


@task(task_run_name="register {dimension}", **ASKS_A_SERVER)
def register(project: Project, dimension: str, *, trained: bool = True) -> int:
    """Make the trained ARM a version and the challenger; the same adapter is registered once.

    `trained` says whether this run has trained it; otherwise its version is hardly worth a line.
    """
    began = time.monotonic()
    verify_inputs(project, REGISTER, dimension)
    layout, champion = project.layout, project.champions().get(dimension)
    in_use = project.is_in_use(dimension, champion)
    used = champion if champion and in_use else project.tuned(dimension)
    lineage = {
        tags.label(tags.DVC_STAGE): stage_of(TRAIN, dimension),
        **server_ids(),
        "git dirty": str(git_dirty(project.root)).lower(),
    }
    version = registry.connect(project.root).register(
        dimension,
        layout.arm(dimension),
        weight=used.weight,
        guidance=used.guidance,
        metrics=read_json(layout.train_metrics(dimension), dict[str, float]),
        curves=read_curves(layout.train_curves(dimension)),
        lineage=lineage,
    )
    noted = read_json(layout.lineage, dict[str, str]) if layout.lineage.is_file() else {}
    write_json(layout.lineage, noted | {f"version of {dimension}": str(version), **server_ids()})
    get_run_logger().info("version %s, %s", version, seconds(began), **(told() if trained else {}))
    return version


@task(cache_policy=NO_CACHE, task_run_name="verify what was decided on")
def verify(project: Project) -> None:
    """Check by content that decisions, report and all they were made of are what DVC recorded."""
    verify_decision(project, made=True)


def conclusion_title(parameters: dict[str, Any]) -> str:
    """`promote positive`, or `record hold of positive`: the name of a task that concludes a decision."""
    decision: Decision = parameters["decision"]
    if decision.outcome == "promote" and parameters["carry_out"]:
        return f"promote {decision.dimension}"
    return f"record {decision.outcome} of {decision.dimension}"


@task(task_run_name=cast(Any, conclusion_title), **ASKS_A_SERVER)
def promote(project: Project, decision: Decision, *, carry_out: bool) -> Decision:
    """Log the decision in the registry and, if it is to promote, move the champion alias; returns what holds.

    A version that was rolled back would win against the one before it once more, so it is rejected here.
    """
    began, store, layout = time.monotonic(), registry.connect(project.root), project.layout
    if decision.outcome == "promote" and (
        why := store.blocked(decision.dimension, decision.challenger_sha256)
    ):
        decision = replace(decision, outcome="reject", reasons=[why, *decision.reasons])
    report = sha256(layout.report / "report.json")
    actor = server_ids().get("flow run", "flow")
    store.record_decision(
        decision,
        actor=actor,
        report_sha256=report,
        report=layout.report,
        lineage=server_ids(),
        metrics=measured(project, decision.dimension),
    )
    if decision.outcome == "promote" and carry_out:
        dimension = decision.dimension
        store.promote(
            dimension,
            decision,
            smoke_test=partial(smoke_test, project, dimension),
            actor=actor,
            report_sha256=report,
            say=get_run_logger().info,
        )
        get_run_logger().info("in use, after a test answer, %s", seconds(began), **told())
    return decision


@task(cache_policy=NO_CACHE, task_run_name="publish decisions")
def publish(project: Project, decisions: Sequence[Decision]) -> None:
    """The decisions as a table and the report as Markdown, on the page of the flow run."""
    rows = [
        {"dimension": d.dimension, "decision": d.outcome, "why": " / ".join(d.reasons)} for d in decisions
    ]
    create_table_artifact(rows, key="decision", description="promote, hold, reject or same, and why")
    report = project.layout.report / "report.md"
    if any(d.outcome != "same" for d in decisions) and report.is_file():  # else it is that of an earlier run
        create_markdown_artifact(report.read_text(encoding="utf-8"), key="report")


def server_ids() -> dict[str, str]:
    """The ids that lead from a version back to the flow run that made it."""
    ids = {"flow run": flow_run.get_id(), "deployment": deployment.get_name()}
    return {name: str(value) for name, value in ids.items() if value}
