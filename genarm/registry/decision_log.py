"""Decisions and rollbacks on record: one MLflow run in `genarm/decisions` for each, carried out or not.

A run is identified by the hash of its content, so recording the same decision again adds nothing.
"""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
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
    from mlflow.entities import Run

# What a decision is also judged by, and what the metrics of a training call it.
HELD_OUT = {
    names.EVALUATION_ACCURACY: "validation/accuracy",
    names.EVALUATION_LONGER: "validation/longer_is_chosen",
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
        **{tags.tag(name): value for name, value in (lineage or {}).items()},
    }
    title = f"{decision.dimension}: {decision.outcome}"
    train = store.experiment(tags.TRAIN_EXPERIMENT) if version else ""
    train_link = run_link(train, version.run_id) if version and version.run_id else ""
    page = decision_page(decision, version.number if version else 0, train_link)
    run = _log(store, decision.dimension, title, to_json(decision), facts, page, report, metrics, version)
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
    run = _log(store, demoted.dimension, title, json.dumps(content, indent=2), facts, page)
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
    page: str,
    report: Path | None = None,
    metrics: Mapping[str, float] | None = None,
    version: Version | None = None,
) -> "Run":
    """The run for `content`, created or completed, with all that is known of it now."""
    client, experiment = store.client, store.experiment(tags.DECISIONS_EXPERIMENT)
    sha256 = hashlib.sha256(content.encode()).hexdigest()
    known = {tag: value for tag, value in facts.items() if value}
    same = client.search_runs([experiment], f"tags.`{tags.DECISION_SHA256}` = '{sha256}'", max_results=1)
    if same:
        run = same[0]
    else:
        identity = {tags.DECISION_SHA256: sha256, tags.DIMENSION: dimension, tags.NOTE: page}
        run = client.create_run(experiment, run_name=title, tags=identity | known)
    for tag, value in known.items():
        if tag not in run.data.tags:  # a later caller may know more; what is on record stays
            client.set_tag(run.info.run_id, tag, value)
            run.data.tags[tag] = value
    if run.info.status == "RUNNING":
        client.log_text(run.info.run_id, content, "decision.json")
        run.data.metrics.update(_log_metrics(store, run, metrics or {}, version))
        if report:
            client.log_artifacts(run.info.run_id, str(report), "report")
        client.set_terminated(run.info.run_id, "FINISHED")
    return run


def _log_metrics(
    store: Store, run: "Run", measured: Mapping[str, float], version: Version | None
) -> dict[str, float]:
    """Log what was measured, and the held-out accuracy, on a run and the logged model of a version."""
    from mlflow.entities import Metric

    model = logged_model(store, version.model_id) if version else None
    trained = {metric.key: metric.value for metric in (model.metrics if model else None) or ()}
    if version:
        trained |= noted_metrics(version)
    held_out = {name: trained[called] for name, called in HELD_OUT.items() if called in trained}
    metrics = dict(measured) | held_out
    run_id, start = run.info.run_id, run.info.start_time  # the same time again adds nothing
    of_model = {"model_id": model.model_id, "run_id": run_id} if model else {}
    if metrics:
        rows = [Metric(name, float(value), start, 0, **of_model) for name, value in metrics.items()]
        store.client.log_batch(run_id, metrics=rows)
    return metrics
