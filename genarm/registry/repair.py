"""`reconcile`: what a crash left half done is undone or completed, what somebody edited by hand is mended."""

from collections.abc import Sequence

from genarm.errors import StaleDecision
from genarm.registry import tags
from genarm.registry.mending import faults
from genarm.registry.pending import RollbackPlan, complete_rollback, revert_promotion
from genarm.registry.standing import DONE, PENDING, place
from genarm.registry.store import Store, translates_errors
from genarm.registry.versions import Version, aliases, delete_tag, point, run_of, versions


@translates_errors
def reconcile(store: Store, dimensions: Sequence[str]) -> list[str]:
    """Repair whatever a crash or somebody's edit left wrong; one sentence for each repair."""
    with store.lock() as held:
        return [
            line for dimension in dimensions for line in [*repair(held, dimension), *_mend(held, dimension)]
        ]


def repair(store: Store, dimension: str) -> list[str]:
    """Undo or complete what a crash left half done on a dimension. The caller holds the lock."""
    lines = []
    for version in unfinished(store, dimension):
        if tags.ROLLBACK in version.tags:
            lines.append(f"{dimension}: {_complete(store, version)}")
        else:
            revert_promotion(store, dimension, version.number, "reverted: interrupted before it was done")
            lines.append(f"{dimension}: reverted the unfinished promotion of version {version.number}")
    return lines + _repair_aliases(store, dimension)


def unfinished(store: Store, dimension: str) -> list[Version]:
    """The versions with a promotion or rollback that is under way, or was left half done."""
    return [
        version
        for version in versions(store, dimension)
        if tags.ROLLBACK in version.tags or version.tags.get(tags.PROMOTION) == PENDING
    ]


def _complete(store: Store, version: Version) -> str:
    plan = RollbackPlan.noted(version.tags[tags.ROLLBACK])
    if plan is None:
        delete_tag(store, version, tags.ROLLBACK)
        return f"dropped a rollback of version {version.number}, whose note was edited beyond recognition"
    try:
        target = complete_rollback(store, version, plan)
    except StaleDecision as error:
        return error.message
    return f"completed the rollback from version {version.number} to {place(target)}"


def _repair_aliases(store: Store, dimension: str) -> list[str]:
    lines = []
    stored = versions(store, dimension)
    numbers = aliases(store, dimension)
    for alias, number in numbers.items():
        if number in {version.number for version in stored}:
            continue
        # The champion before the lost one is a safer answer than none.
        fallback = numbers.get(tags.PREVIOUS, 0) if alias == tags.CHAMPION else 0
        target = point(store, dimension, alias, fallback) or "unset"
        lines.append(f"{dimension}: alias {alias} pointed to version {number}, which is gone; now {target}")
    if lines:
        stored, numbers = versions(store, dimension), aliases(store, dimension)
    if tags.CHALLENGER in numbers and numbers[tags.CHALLENGER] == numbers.get(tags.CHAMPION):
        point(store, dimension, tags.CHALLENGER, 0)
        lines.append(f"{dimension}: version {numbers[tags.CHAMPION]} is the champion, no longer on trial")
    _complete_trail(store, stored)
    return lines


def _complete_trail(store: Store, stored: list[Version]) -> None:
    """Let the decision's run name the version that it promoted: the last steps of a promotion."""
    for version in stored:
        if tags.CHAMPION in version.aliases and version.tags.get(tags.PROMOTION) == DONE:
            if tags.PROMOTION_USE in version.tags:  # how it was served before is of no use any more
                delete_tag(store, version, tags.PROMOTION_USE)
            run = run_of(store, version, tags.DECISION_RUN)
            if run and tags.PROMOTED_VERSION not in run.data.tags:
                store.client.set_tag(run.info.run_id, tags.PROMOTED_VERSION, str(version.number))


def _mend(store: Store, dimension: str) -> list[str]:
    return [f"{fault.what}; {fault.mend(store)}" for fault in faults(store, dimension) if fault.mend]
