"""Promotions and rollbacks under way: written down before they start, finished or undone after a crash.

MLflow has no transactions. So each change first tags its version with all that is needed to repair it:

promotion   PROMOTION_FROM, PROMOTION_PREVIOUS = the aliases as they were, PROMOTION_BLOCKED = the block that
            it lifts, PROMOTION_USE = weight and guidance that it was served at, then PROMOTION = pending.
            Until PROMOTION = done it can be reverted. The decision stands, so the next run promotes again,
            with its smoke test.
rollback    ROLLBACK = target, reason and actor, as JSON. From then on it is always completed. Its run in
            `genarm/decisions` carries UNTOLD until whoever asked for it was told.

`genarm.registry.repair` looks for these marks and repairs what it finds. Every step may be repeated. Callers
hold the lock.
"""

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from typing import Self

from genarm.errors import DataError, StaleDecision
from genarm.registry import tags
from genarm.registry.decision_log import log_rollback
from genarm.registry.record import note_text
from genarm.registry.serving import begin_use, note_use, serve_again, undo_use
from genarm.registry.standing import PENDING, ROLLED_BACK
from genarm.registry.store import Store
from genarm.registry.version_page import refresh, refresh_pages
from genarm.registry.versions import Use, Version, aliases, delete_tag, get, point, set_tag, versions
from genarm.system.files import read_value

REASON_LENGTH = 500


@dataclass(frozen=True, slots=True)
class RollbackPlan:
    """A rollback as noted on the version that it replaces; `to` and `asked` are 0 for the base model.

    `asked` is what its caller named, None for the previous champion.
    """

    to: int
    reason: str
    actor: str
    asked: int | None = None
    user: str = ""  # whose login it was; whoever types the same command finds it done

    def key(self, dimension: str) -> str:
        """Identifies the command that asked for it: the same command typed again has the same key."""
        command = json.dumps([dimension, self.reason, self.actor, self.asked])
        return hashlib.sha256(command.encode()).hexdigest()

    @classmethod
    def noted(cls, text: str) -> Self | None:
        """The plan in a tag; None where somebody has edited it beyond recognition."""
        try:
            return read_value(json.loads(text), cls, "the note of a rollback")
        except (ValueError, DataError):
            return None


def begin_promotion(store: Store, version: Version, use: Use) -> Version:
    """Note the aliases on the version that is about to become the champion, then move them to it.

    `use` is what it will be served at. Returns the version with the tags that say so.
    """
    dimension, numbers = version.dimension, aliases(store, version.dimension)
    champion = numbers.get(tags.CHAMPION, 0)
    set_tag(store, version, tags.PROMOTION_FROM, str(champion))
    set_tag(store, version, tags.PROMOTION_PREVIOUS, str(numbers.get(tags.PREVIOUS, 0)))
    block = version.tags.get(tags.BLOCKED, "")
    if block != version.tags.get(tags.PROMOTION_BLOCKED, ""):
        set_tag(store, version, tags.PROMOTION_BLOCKED, block)
    set_tag(store, version, tags.PROMOTION_USE, note_use(version))
    set_tag(store, version, tags.PROMOTION, PENDING)
    version = begin_use(store, version, use)
    if champion:
        point(store, dimension, tags.PREVIOUS, champion)
    point(store, dimension, tags.CHAMPION, version.number)
    return version


def revert_promotion(store: Store, dimension: str, number: int, state: str) -> None:
    """Put the aliases back as they were before, and what the version was served at; a champion set by hand in
    the meantime is left alone.

    Where the note of what they were was lost, the champion before is the alias `previous`.
    """
    version, numbers = get(store, dimension, number), aliases(store, dimension)
    champion = version.number_in(tags.PROMOTION_FROM)
    previous = version.number_in(tags.PROMOTION_PREVIOUS)
    if champion is None:
        champion = numbers.get(tags.PREVIOUS, 0)
    if numbers.get(tags.CHAMPION, 0) in (number, champion):
        point(store, dimension, tags.CHAMPION, champion)
        point(store, dimension, tags.PREVIOUS, previous or 0)
    if (block := version.tags.get(tags.PROMOTION_BLOCKED)) and not version.tags.get(tags.BLOCKED):
        set_tag(store, version, tags.BLOCKED, block)
    undo_use(store, version)
    state = state[:REASON_LENGTH]
    stored = versions(store, dimension)
    for other in stored:
        if other.number in (number, champion):
            as_it_will_be = {**other.tags, tags.PROMOTION: state} if other.number == number else other.tags
            refresh(store, replace(other, tags=as_it_will_be), stored)
    set_tag(store, version, tags.PROMOTION, state)


def begin_rollback(store: Store, champion: Version, plan: RollbackPlan) -> None:
    """Note on the champion which version will replace it."""
    set_tag(store, champion, tags.ROLLBACK, json.dumps(asdict(plan)))


def complete_rollback(store: Store, demoted: Version, plan: RollbackPlan) -> int:
    """Carry out the rollback noted on a version, from whichever step a crash left it at; its target.

    Raises StaleDecision where another version has become the champion since; the demoted one stays blocked.
    """
    dimension, reason, target = demoted.dimension, plan.reason, plan.to
    set_tag(store, demoted, tags.BLOCKED, reason)
    if aliases(store, dimension).get(tags.CHAMPION, 0) in (demoted.number, target):
        for version in versions(store, dimension):
            if version.number == target:
                serve_again(store, version)
        target = point(store, dimension, tags.CHAMPION, target)
        point(store, dimension, tags.PREVIOUS, _champion_before(store, dimension, target))
        told = log_rollback(
            store, demoted, target, reason, plan.actor, user=plan.user, untold=plan.key(dimension)
        )
        set_tag(store, demoted, tags.ROLLED_BACK, note_text(told))
    set_tag(store, demoted, tags.PROMOTION, f"{ROLLED_BACK}{reason}")
    refresh_pages(store, dimension, (demoted.number, target))
    delete_tag(store, demoted, tags.ROLLBACK)
    champion = aliases(store, dimension).get(tags.CHAMPION, 0)
    if champion != target:
        raise StaleDecision(
            f"{demoted.name} is blocked, but the champion is version {champion}, not {target}: "
            "somebody else has moved the alias meanwhile",
            hint="genarm registry list",
        )
    return target


def _champion_before(store: Store, dimension: str, number: int) -> int:
    """The version that `number` replaced, skipping those that are gone or blocked; 0 for none."""
    by_number = {version.number: version for version in versions(store, dimension)}
    visited = {number}
    while number in by_number:
        number = by_number[number].number_in(tags.PROMOTION_FROM) or 0
        if number in visited:
            return 0
        visited.add(number)
        if number in by_number and not by_number[number].tags.get(tags.BLOCKED):
            return number
    return 0
