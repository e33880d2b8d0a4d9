"""Decisions and rollbacks on record: one MLflow run in `genarm/decisions` for each, carried out or not.

A run is identified by the hash of its content, so recording the same decision again adds nothing.
"""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from genarm.registry import tags
from genarm.registry.model_files import logged_model
from genarm.registry.pages import decision_page, rollback_page, run_link
from genarm.registry.record import DecisionNote, RollbackNote, metrics_text, note, note_text, noted_metrics
from genarm.registry.store import Store, translates_errors
from genarm.registry.user import user_name
from genarm.registry.version_page import refresh
from genarm.registry.versions import Version, iso, versions
from genarm.system import metric_names as names
from genarm.system.files import to_json
from genarm.types import Decision

if TYPE_CHECKING:
    from mlflow.entities import LoggedModel, Run

# What a decision is also judged by, and what the metrics of a training call it.
HELD_OUT = {
    names.EVALUATION_ACCURACY: "validation/accuracy",
    names.EVALUATION_LONGER: "validation/longer_is_chosen",
    names.EVALUATION_IMPLICIT: f"validation/{names.IMPLICIT_ACCURACY}",
}


@translates_errors
def record_decision(
    store: Store,
    decision: Decision,
    *,
    actor: str = "",
    report_sha256: str = "",
    report: Path | None = None,
    lineage: Mapping[str, str] | None = None,
    metrics: Mapping[str, float] | None = None,
) -> str:
    """Log a decision with its reasons, its numbers and the folder of its report; the id of its run.

    `metrics` by the names of `metric_names` go to the run, to the version and to its logged model.
    """
    with store.lock() as held:
        return log_decision(
            held,
            decision,
            actor=actor,
            report_sha256=report_sha256,
            report=report,
            lineage=lineage,
            metrics=metrics,
        )


def log_decision(
    store: Store,
    decision: Decision,
    *,
    actor: str = "",
    report_sha256: str = "",
    report: Path | None = None,
    force: str = "",
    lineage: Mapping[str, str] | None = None,
    metrics: Mapping[str, float] | None = None,
) -> str:
    """As `record_decision`, for a caller that holds the lock."""
    stored = versions(store, decision.dimension)
    matching = [v for v in stored if v.sha256 and v.sha256 == decision.challenger_sha256]
    version = matching[-1] if matching else None
    facts = {
        tags.OUTCOME: decision.outcome,
        tags.CHALLENGER_SHA256: decision.challenger_sha256,
        tags.CHALLENGER_VERSION: str(version.number) if version else "",
        tags.CHAMPION_VERSION: str(decision.champion.version) if decision.champion else "0",
        tags.TRAIN_RUN: version.run_id if version else "",
        tags.ACTOR: actor,
        tags.USER: user_name(),
        tags.REPORT_SHA256: report_sha256,
        tags.FORCED: force,
        tags.WEIGHT: "" if decision.weight is None else repr(decision.weight),
        tags.GUIDANCE: decision.guidance or "",
        **{tags.tag(name): value for name, value in (lineage or {}).items()},
    }
    title = f"{decision.dimension}: {decision.outcome}"

    @cache
    def model() -> "LoggedModel | None":  # asked for at most once, and not where the decision is on record
        return logged_model(store, version.model_id) if version else None

    def page() -> str:
        logged = model()
        train_link = run_link(logged.experiment_id, version.run_id) if logged and version else ""
        return decision_page(decision, version.number if version else 0, train_link)

    def numbers() -> tuple[dict[str, float], str]:
        return _numbers(metrics or {}, version, model()), version.model_id if version and model() else ""

    run = _log(store, decision.dimension, title, to_json(decision), facts, page, report, numbers)
    if version:
        _note(store, decision, version, stored, run)
    return str(run.info.run_id)


def _note(store: Store, decision: Decision, version: Version, stored: list[Version], run: "Run") -> None:
    """Let the version say what was decided on it, and what was measured."""
    known = run.data.tags
    decided = DecisionNote(
        outcome=decision.outcome,
        reasons=tuple(decision.reasons),
        against=decision.champion.version if decision.champion else 0,
        experiment=run.info.experiment_id,
        run=run.info.run_id,
        at=iso(run.info.start_time),
        by=known.get(tags.ACTOR, ""),
        user=known.get(tags.USER, ""),
        forced=known.get(tags.FORCED, ""),
    )
    measured, before = dict(run.data.metrics), noted_metrics(version)
    if names.WIN_RATE in measured:  # else a person chose it, and what was measured before still holds
        before = {name: value for name, value in before.items() if not names.is_of_decision(name)}
    told = {tags.DECISION: note_text(decided)}
    if before | measured:
        told[tags.METRICS] = metrics_text(before | measured)
    for tag, text in told.items():
        note(store, version, tag, text)
    refresh(store, dataclasses.replace(version, tags={**version.tags, **told}), stored)


def log_rollback(
    store: Store,
    demoted: Version,
    target: int,
    reason: str,
    actor: str,
    *,
    user: str = "",
    untold: str = "",
) -> RollbackNote:
    """Log a rollback from one version to another, 0 being the base model; what is to be noted of it.

    `untold` identifies the command that asked for it, until `forget_untold`.
    """
    content = {
        "dimension": demoted.dimension,
        "from": demoted.number,
        "to": target,
        "reason": reason,
        # Tells two rollbacks of one version apart.
        "promoted_at": demoted.tags.get(tags.PROMOTED_AT, ""),
    }
    facts = {
        tags.OUTCOME: "rollback",
        tags.ACTOR: actor,
        tags.USER: user,
        tags.CHAMPION_VERSION: str(demoted.number),
        tags.ROLLED_BACK_TO: str(target),
        tags.UNTOLD: untold,
    }
    page = rollback_page(demoted.dimension, demoted.number, target, reason)
    title = f"{demoted.dimension}: rollback"
    run = _log(store, demoted.dimension, title, json.dumps(content, indent=2), facts, lambda: page)
    at = iso(run.info.start_time)
    return RollbackNote(target, reason, run.info.experiment_id, run.info.run_id, at, actor, user)


def find_untold(store: Store, untold: str) -> tuple[int, int] | None:
    """From and to which version a rollback went that its caller does not know of yet; None for none."""
    runs = _untold(store, untold)
    known = runs[0].data.tags if runs else {}
    return (int(known[tags.CHAMPION_VERSION]), int(known[tags.ROLLED_BACK_TO])) if runs else None


def forget_untold(store: Store, untold: str) -> None:
    """Note that whoever gave a command was told what came of it."""
    for run in _untold(store, untold):
        store.client.delete_tag(run.info.run_id, tags.UNTOLD)


def _untold(store: Store, untold: str) -> "list[Run]":
    experiment = store.experiment(tags.DECISIONS_EXPERIMENT)
    condition = f"tags.`{tags.UNTOLD}` = '{untold}'"
    return list(store.client.search_runs([experiment], condition, order_by=["start_time DESC"]))


def _log(
    store: Store,
    dimension: str,
    title: str,
    content: str,
    facts: Mapping[str, str],
    page: Callable[[], str],
    report: Path | None = None,
    numbers: Callable[[], tuple[dict[str, float], str]] = lambda: ({}, ""),
) -> "Run":
    """The run for `content`, created or completed, with all that is known of it now.

    `numbers` are metrics and the logged model that they are of, empty for none.
    """
    client, experiment = store.client, store.experiment(tags.DECISIONS_EXPERIMENT)
    sha256 = hashlib.sha256(content.encode()).hexdigest()
    known = {tag: value for tag, value in facts.items() if value}
    same = client.search_runs([experiment], f"tags.`{tags.DECISION_SHA256}` = '{sha256}'", max_results=1)
    if same:
        run = same[0]
    else:
        identity = {tags.DECISION_SHA256: sha256, tags.DIMENSION: dimension, tags.NOTE: page()}
        run = client.create_run(experiment, run_name=title, tags=identity | known)
    for tag, value in known.items():
        if tag not in run.data.tags:  # a later caller may know more; what is on record stays
            client.set_tag(run.info.run_id, tag, value)
            run.data.tags[tag] = value
    if run.info.status == "RUNNING":
        client.log_text(run.info.run_id, content, "decision.json")
        run.data.metrics.update(_log_metrics(store, run, *numbers()))
        if report:
            client.log_artifacts(run.info.run_id, str(report), "report")
        client.set_terminated(run.info.run_id, "FINISHED")
    return run


def _numbers(
    measured: Mapping[str, float], version: Version | None, model: "LoggedModel | None"
) -> dict[str, float]:
    """What was measured for a decision, and the held-out accuracy, which is known since the training."""
    trained = {metric.key: metric.value for metric in (model.metrics if model else None) or ()}
    if version:
        trained |= noted_metrics(version)
    held_out = {name: trained[called] for name, called in HELD_OUT.items() if called in trained}
    return dict(measured) | held_out


def _log_metrics(store: Store, run: "Run", metrics: dict[str, float], model_id: str) -> dict[str, float]:
    """Log metrics on a run and the logged model that they are of."""
    from mlflow.entities import Metric

    run_id, start = run.info.run_id, run.info.start_time  # the same time again adds nothing
    of_model = {"model_id": model_id, "run_id": run_id} if model_id else {}
    if metrics:
        rows = [Metric(name, float(value), start, 0, **of_model) for name, value in metrics.items()]
        store.client.log_batch(run_id, metrics=rows)
    return metrics
