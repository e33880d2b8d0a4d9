"""The only package that knows MLflow: versions, champions, promotion, rollback and the trail.

    registry = connect(root)
    registry.register("positive", folder, metrics=..., lineage=...)    an ARM becomes a version, once
    registry.snapshot(champions_json, dimensions)                      the aliases, as a file for DVC
    registry.promote("positive", decision, smoke_test=..., actor=...)  compare-and-set, then trust
    registry.rollback("positive", "answers too long")                  back, and never again

Aliases say what a version is for (`champion`, `previous`, `challenger`), tags say where it comes from and how
far a change got. Read in this order: `store`, `versions`, `stored`, `champions`, `registering`, `trail`,
`promotion`; `live` shows a training as it runs, `pages` is what MLflow's pages show, `pyfunc` the code stored
with every version.
"""

from pathlib import Path

from genarm.registry import champions as in_use
from genarm.registry import decision_log as trail
from genarm.registry import promote as promotion
from genarm.registry import registering, store, versions
from genarm.registry.store import Store

__all__ = ["Registry", "connect"]


class Registry(Store):
    """An open store with its verbs; each is documented at the function that it is."""

    register = registering.register
    champions = in_use.champions
    snapshot = in_use.snapshot
    drift = in_use.drift
    fetch = in_use.fetch
    show = versions.show
    list = versions.listing
    record_decision = trail.record_decision
    manual_decision = promotion.manual_decision
    promote = promotion.promote
    blocked = promotion.blocked
    rollback = promotion.rollback
    reconcile = promotion.reconcile


def connect(root: Path) -> Registry:
    """The registry of a project. Raises Unreachable, within seconds, where a server does not answer."""
    found = store.connect(root)
    return Registry(found.client, found.uri, found.folder, found.lock_file)
