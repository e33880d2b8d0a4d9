"""The trail: one MLflow run in `genarm/decisions` for every decision, carried out or not, and every rollback.

A run is known by the hash of what it says, so that recording the same decision again adds nothing.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from genarm.registry.pages import decision_page
from genarm.registry.store import Store, asking
from genarm.registry.versions import Version, find
from genarm.system.files import to_json
from genarm.types import Decision

EXPERIMENT = "genarm/decisions"
KEY = "genarm.decision_sha256"


@asking
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
    with store.lock():
        return log_decision(
            store, decision, actor=actor, report_sha256=report_sha256, report=report, lineage=lineage
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
    tags = {
        "outcome": decision.outcome,
        "challenger_sha256": decision.challenger_sha256,
        "challenger_version": str(version.number) if version else "",
        "champion_version": str(decision.champion.version) if decision.champion else "0",
        "train_run": version.run_id if version else "",
        "actor": actor,
        "report_sha256": report_sha256,
        "forced": force,
        **{key.strip().replace(" ", "_"): value for key, value in (lineage or {}).items()},
    }
    content, page = to_json(decision), decision_page(decision)
    return _log(store, decision.dimension, decision.outcome, content, tags, page, report)


def log_rollback(store: Store, demoted: Version, target: int, reason: str, actor: str) -> str:
    """Log a rollback from a version to another, 0 being the base model; the id of its run."""
    what = {
        "dimension": demoted.dimension,
        "from": demoted.number,
        "to": target,
        "reason": reason,
        "promoted_at": demoted.tags.get("genarm.promoted_at", ""),  # tells two rollbacks of one version apart
    }
    way = f"from version {demoted.number} to {target or 'the base model'}"
    page = f"### {demoted.dimension}: **rollback** {way}\n\n{reason}\n"
    tags = {"outcome": "rollback", "actor": actor, "champion_version": str(demoted.number), "to": str(target)}
    return _log(store, demoted.dimension, "rollback", json.dumps(what, indent=2), tags, page)


def _log(
    store: Store,
    dimension: str,
    outcome: str,
    content: str,
    tags: Mapping[str, str],
    page: str,
    report: Path | None = None,
) -> str:
    client, experiment = store.client, store.experiment(EXPERIMENT)
    key = hashlib.sha256(content.encode()).hexdigest()
    named = {f"genarm.{name}": value for name, value in tags.items() if value}
    found = client.search_runs([experiment], f"tags.`{KEY}` = '{key}'", max_results=1)
    if found:
        run = found[0]
    else:
        run = client.create_run(
            experiment,
            run_name=f"{dimension}: {outcome}",
            tags={KEY: key, "genarm.dimension": dimension, "mlflow.note.content": page} | named,
        )
    for name, value in named.items():
        if name not in run.data.tags:  # what a later caller knows is added, what was said stays
            client.set_tag(run.info.run_id, name, value)
    if run.info.status == "RUNNING":
        client.log_text(run.info.run_id, content, "decision.json")
        if report:
            client.log_artifacts(run.info.run_id, str(report), "report")
        client.set_terminated(run.info.run_id, "FINISHED")
    return str(run.info.run_id)
