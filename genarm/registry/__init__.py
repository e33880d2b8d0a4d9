"""The only package that knows MLflow: versions, champions, promotion, rollback and the record of decisions.

    registry = connect(root)
    registry.register("positive", folder, metrics=..., lineage=...)    an ARM becomes a version, once
    registry.snapshot(champions_json, dimensions)                      the aliases, as a file for DVC
    registry.promote("positive", decision, smoke_test=..., actor=...)  compare-and-set, then smoke test
    registry.rollback("positive", "answers too long")                  back, and the version is blocked
    registry.reconcile(dimensions)                                     repair what a crash left half done
    registry.record_comparison("general", folder, ...)                 results of genarm compare
    registry.register_compared("positive", folder, results, ...)       a row of them becomes a version
    registry.register_judge(folder), fetch_judge("positive", 1, into)  trained judges, pinned by version

Aliases say what a version is for (`champion`, `previous`, `challenger`), tags say where it comes from and how
far a change got. A reading order: `tags`, `tracking`, `owner`, `lease`, `store`, `versions`, `model_files`,
`serving`, `champions`, `record`, `standing`, `version_page`, `trial`, `registering`, `compared`,
`decision_log`, `pending`, `mending`, `repair`, `promote`, `rollback`, `canaries`, `showing`. `live_run` shows
a training while it runs, `experiments` and `pages` are what MLflow shows, `pyfunc` is the code stored with
every version, `pyfunc_api` what it calls, and `served` what that opens.
"""

from pathlib import Path

from genarm.registry import champions as in_use
from genarm.registry import (
    compared,
    comparisons,
    decision_log,
    mending,
    registering,
    repair,
    showing,
    store,
    trained_judges,
    versions,
)
from genarm.registry import promote as promotion
from genarm.registry import rollback as rolling_back
from genarm.registry.store import Store

__all__ = ["Registry", "connect"]


class Registry(Store):
    """An open store with its verbs; each is documented at the function that it is."""

    register = registering.register
    champions = in_use.champions
    challengers = in_use.challengers
    snapshot = in_use.snapshot
    drift = in_use.drift
    fetch = in_use.fetch
    register_judge = trained_judges.register_judge
    fetch_judge = trained_judges.fetch_judge
    show = showing.show
    list = showing.listing
    version = store.translates_errors(versions.get)
    record_comparison = comparisons.record_comparison
    register_compared = compared.register_compared
    record_decision = decision_log.record_decision
    manual_decision = promotion.manual_decision
    promote = promotion.promote
    blocked = promotion.blocked
    rollback = rolling_back.rollback
    reconcile = repair.reconcile
    inspect = mending.inspect
    missing_runs = mending.missing_runs


def connect(root: Path) -> Registry:
    """The registry of a project. Raises Unreachable, within seconds, where a server does not answer."""
    opened = store.connect(root)
    return Registry(opened.client, opened.uri, opened.folder, opened.lock_file)
