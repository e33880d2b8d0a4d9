"""Decisions and rollbacks on record: one MLflow run in `genarm/decisions` for each, carried out or not.

A run is identified by the hash of its content, so recording the same decision again adds nothing.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from genarm.registry import tags
from genarm.registry.pages import decision_page, rollback_page
from genarm.registry.store import Store, translates_errors
from genarm.registry.versions import Version, find
from genarm.system.files import to_json
from genarm.types import Decision

if TYPE_CHECKING:
    from mlflow.entities import Run


@translates_errors
def record_decision(
    store: Store,
    decision: Decision,
    *,
    actor: str = "",
    report_sha256: str = "",
    report: Path | None = None,
    lineage: Mapping[str, str] | None = None,
) -> str:
    """Log a decision with its reasons and the folder of its report; the id of its run."""
    with store.lock() as held:
        return log_decision(
            held, decision, actor=actor, report_sha256=report_sha256, report=report, lineage=lineage
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
) -> str:
    """As `record_decision`, for a caller that holds the lock."""
    version = find(store, decision.dimension, decision.challenger_sha256)
    facts = {
        tags.OUTCOME: decision.outcome,
        tags.CHALLENGER_SHA256: decision.challenger_sha256,
        tags.CHALLENGER_VERSION: str(version.number) if version else "",
        tags.CHAMPION_VERSION: str(decision.champion.version) if decision.champion else "0",
        tags.TRAIN_RUN: version.run_id if version else "",
        tags.ACTOR: actor,
        tags.REPORT_SHA256: report_sha256,
        tags.FORCED: force,
        **{tags.tag(name): value for name, value in (lineage or {}).items()},
    }
    title = f"{decision.dimension}: {decision.outcome}"
    return _log(store, decision.dimension, title, to_json(decision), facts, decision_page(decision), report)


def log_rollback(
    store: Store, demoted: Version, target: int, reason: str, actor: str, *, untold: str = ""
) -> str:
    """Log a rollback from one version to another, 0 being the base model; the id of its run.

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
        tags.CHAMPION_VERSION: str(demoted.number),
        tags.ROLLED_BACK_TO: str(target),
        tags.UNTOLD: untold,
    }
    page = rollback_page(demoted.dimension, demoted.number, target, reason)
    title = f"{demoted.dimension}: rollback"
    return _log(store, demoted.dimension, title, json.dumps(content, indent=2), facts, page)


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
) -> str:
    """Create the run for `content` or complete the one that exists."""
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
    if run.info.status == "RUNNING":
        client.log_text(run.info.run_id, content, "decision.json")
        if report:
            client.log_artifacts(run.info.run_id, str(report), "report")
        client.set_terminated(run.info.run_id, "FINISHED")
    return str(run.info.run_id)
