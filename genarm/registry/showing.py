"""Versions as plain data for commands: one row each, or everything that is known of one."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from genarm.registry import tags
from genarm.registry.record import decision_note, noted_metrics
from genarm.registry.standing import place, standing, who
from genarm.registry.store import Store, translates_errors
from genarm.registry.tags import model_name
from genarm.registry.version_page import lineage
from genarm.registry.versions import Version, get, iso, location, run_of, versions
from genarm.system import metric_names as names

OF_ROW = (names.WIN_RATE, names.WIN_RATE_LOWER, names.WIN_RATE_UPPER, names.WIN_RATE_N, names.P_ADJUSTED)


@translates_errors
def listing(store: Store, dimensions: Sequence[str]) -> list[dict[str, Any]]:
    """One plain row for each version, newest first within each dimension.

    What was measured is that of the last decision on it, and None where nothing was.
    """
    rows = []
    for dimension in dimensions:
        stored = versions(store, dimension)
        for version in stored:
            metrics, decided = noted_metrics(version), decision_note(version)
            rows.append(
                {
                    "dimension": version.dimension,
                    "version": version.number,
                    "aliases": list(version.aliases),
                    "adapter": version.sha256[:12],
                    "promotion": version.tags.get(tags.PROMOTION, ""),
                    "blocked": version.tags.get(tags.BLOCKED, ""),
                    "created": version.created,
                    "state": standing(version, stored).state,
                    "decision": decided.outcome if decided else "",
                    "against": decided.against if decided else None,
                    **{name: metrics.get(name) for name in OF_ROW},
                }
            )
    return rows


@translates_errors
def show(store: Store, dimension: str, version: int | str = tags.CHAMPION) -> dict[str, Any]:
    """Everything that is known of one version, by number or alias, as plain data.

    `trail` has what became of it, oldest first: each decision on it, each rollback from it or to it.
    """
    shown = get(store, dimension, version)
    run, decided = run_of(store, shown), decision_note(shown)
    stands = standing(shown, versions(store, dimension))
    metrics = (dict(run.data.metrics) if run else {}) | noted_metrics(shown)
    return {
        "model": model_name(dimension),
        "version": shown.number,
        "aliases": list(shown.aliases),
        "created": shown.created,
        "created_by": shown.tags.get(tags.USER, ""),
        "state": stands.state,
        "standing": stands.sentence,
        "decision": asdict(decided) if decided else None,
        "lineage": lineage(shown),
        "trail": _trail(store, shown),
        "run_id": shown.run_id if run else f"{shown.run_id} (gone)",
        "model_id": shown.model_id,
        "files": location(store, shown),
        "store": store.address,
        "tags": {key: shown.tags[key] for key in sorted(shown.tags)},
        "metrics": dict(sorted(metrics.items())),
        "params": dict(sorted(run.data.params.items())) if run else {},
    }


def _trail(store: Store, version: Version) -> list[dict[str, str]]:
    """The decisions and rollbacks that a version had a part in, from their runs."""
    known = store.client.get_experiment_by_name(tags.DECISIONS_EXPERIMENT)
    if known is None:
        return []
    condition = f"tags.`{tags.DIMENSION}` = '{version.dimension}'"
    runs = store.client.search_runs([known.experiment_id], condition, order_by=["start_time ASC"])
    number, events = str(version.number), []
    for run in runs:
        noted = run.data.tags
        start, end = noted.get(tags.CHAMPION_VERSION, "0"), noted.get(tags.ROLLED_BACK_TO)
        if end is None and noted.get(tags.CHALLENGER_VERSION) == number:
            what = f"{noted.get(tags.OUTCOME, '')}, against {place(start)}"
            if noted.get(tags.PROMOTED_VERSION) == number:
                what += ": promoted"
        elif end is not None and number in (start, end):
            what = f"rollback from {place(start)} to {place(end)}"
        else:
            continue
        by = who(noted.get(tags.ACTOR, ""), noted.get(tags.USER, ""))
        events.append({"at": iso(run.info.start_time), "what": what, "by": by, "run_id": run.info.run_id})
    return events
