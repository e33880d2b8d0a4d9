"""Promotions and rollbacks under way: written down before they start, finished or undone after a crash.

MLflow has no transactions. So each change first tags its version with all that is needed to repair it:

promotion   PROMOTION_FROM, PROMOTION_PREVIOUS = the aliases as they were, then PROMOTION = pending.
            Until PROMOTION = done it can be reverted. The decision stands, so the next run promotes again,
            with its smoke test.
rollback    ROLLBACK = target, reason and actor, as JSON. From then on it is always completed.

`reconcile` looks for both marks and repairs what it finds. Every step may be repeated. Callers hold the lock.
"""

import json
from collections.abc import Sequence

from genarm.registry import tags
from genarm.registry.decision_log import log_rollback
from genarm.registry.store import Store, translates_errors
from genarm.registry.versions import Version, aliases, delete_tag, get, point, set_tag, versions

PENDING, DONE = "pending", "done"
REASON_LENGTH = 500


def begin_promotion(store: Store, version: Version) -> None:
    """Note the aliases on the version that is about to become the champion, then move them to it."""
    dimension, numbers = version.dimension, aliases(store, version.dimension)
    champion = numbers.get(tags.CHAMPION, 0)
    set_tag(store, version, tags.PROMOTION_FROM, str(champion))
    set_tag(store, version, tags.PROMOTION_PREVIOUS, str(numbers.get(tags.PREVIOUS, 0)))
    set_tag(store, version, tags.PROMOTION, PENDING)
    if champion:
        point(store, dimension, tags.PREVIOUS, champion)
    point(store, dimension, tags.CHAMPION, version.number)


def revert_promotion(store: Store, dimension: str, number: int, state: str) -> None:
    """Put the aliases back as they were before; a champion set by hand in the meantime is left alone."""
    version = get(store, dimension, number)
    champion, previous = (int(version.tags[tag]) for tag in (tags.PROMOTION_FROM, tags.PROMOTION_PREVIOUS))
    if aliases(store, dimension).get(tags.CHAMPION, 0) in (number, champion):
        point(store, dimension, tags.CHAMPION, champion)
        point(store, dimension, tags.PREVIOUS, previous)
    set_tag(store, version, tags.PROMOTION, state[:REASON_LENGTH])


def begin_rollback(store: Store, champion: Version, target: int, reason: str, actor: str) -> None:
    """Note on the champion that it will be replaced by the version `target`, 0 for the base model."""
    plan = {"to": target, "reason": reason.strip()[:REASON_LENGTH], "actor": actor}
    set_tag(store, champion, tags.ROLLBACK, json.dumps(plan))


def complete_rollback(store: Store, dimension: str, number: int) -> int:
    """Carry out the rollback noted on a version, from whichever step a crash left it at; its target."""
    demoted = get(store, dimension, number)
    plan = json.loads(demoted.tags[tags.ROLLBACK])
    target, reason = int(plan["to"]), str(plan["reason"])
    set_tag(store, demoted, tags.BLOCKED, reason)
    point(store, dimension, tags.CHAMPION, target)
    point(store, dimension, tags.PREVIOUS, _champion_before(store, dimension, target))
    log_rollback(store, demoted, target, reason, str(plan["actor"]))
    set_tag(store, demoted, tags.PROMOTION, f"rolled back: {reason}")
    delete_tag(store, demoted, tags.ROLLBACK)
    return target


def _champion_before(store: Store, dimension: str, number: int) -> int:
    """The version that `number` replaced, skipping those that are gone or blocked; 0 for none."""
    by_number = {version.number: version for version in versions(store, dimension)}
    visited = {number}
    while number in by_number:
        number = int(by_number[number].tags.get(tags.PROMOTION_FROM, "0"))
        if number in visited:
            return 0
        visited.add(number)
        if number in by_number and tags.BLOCKED not in by_number[number].tags:
            return number
    return 0


@translates_errors
def reconcile(store: Store, dimensions: Sequence[str]) -> list[str]:
    """Repair whatever a crash left half done; one sentence for each repair."""
    with store.lock() as held:
        return [line for dimension in dimensions for line in repair(held, dimension)]


def repair(store: Store, dimension: str) -> list[str]:
    """As `reconcile`, on one dimension, for a caller that holds the lock."""
    lines = []
    for version in versions(store, dimension):
        if tags.ROLLBACK in version.tags:
            target = complete_rollback(store, dimension, version.number)
            lines.append(f"{dimension}: completed the rollback from version {version.number} to {target}")
        elif version.tags.get(tags.PROMOTION) == PENDING:
            revert_promotion(store, dimension, version.number, "reverted: interrupted before it was done")
            lines.append(f"{dimension}: reverted the unfinished promotion of version {version.number}")
    return lines + _repair_aliases(store, dimension)


def _repair_aliases(store: Store, dimension: str) -> list[str]:
    lines = []
    stored = {version.number for version in versions(store, dimension)}
    numbers = aliases(store, dimension)
    for alias, number in numbers.items():
        if number in stored:
            continue
        # The champion before the lost one is a safer answer than none.
        fallback = numbers.get(tags.PREVIOUS, 0) if alias == tags.CHAMPION else 0
        target = point(store, dimension, alias, fallback) or "unset"
        lines.append(f"{dimension}: alias {alias} pointed to version {number}, which is gone; now {target}")
    numbers = aliases(store, dimension)
    if tags.CHALLENGER in numbers and numbers[tags.CHALLENGER] == numbers.get(tags.CHAMPION):
        point(store, dimension, tags.CHALLENGER, 0)
        lines.append(f"{dimension}: version {numbers[tags.CHAMPION]} is the champion, no longer on trial")
    return lines
