"""Where a version stands, in words: whether it is the champion, since when, by whom, and why no longer."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from genarm.registry import tags
from genarm.registry.record import rollback_note
from genarm.registry.versions import Version

FLOW_RUN = re.compile("[0-9a-f]{8}-[0-9a-f-]{27}")
# What the tag PROMOTION says, see `pending`; the last one begins that of a version that a rollback replaced.
PENDING, DONE, ROLLED_BACK = "pending", "done", "rolled back: "


@dataclass(frozen=True, slots=True)
class Standing:
    """`state` in a word or two, `sentence` with when, who and why."""

    state: str
    sentence: str


def standing(version: Version, others: Sequence[Version] = ()) -> Standing:
    """Where a version stands; one of the `others` of its dimension may have replaced it."""
    promotion, block = version.tags.get(tags.PROMOTION, ""), version.tags.get(tags.BLOCKED, "")
    if tags.CHAMPION in version.aliases:
        return Standing("champion", f"The champion, {_promoted(version)}.")
    if promotion.startswith(ROLLED_BACK):
        return Standing("rolled back", f"No longer the champion: {_rolled_back(version, promotion)}.")
    if block:
        return Standing("blocked", f"Blocked, so that it is not promoted: {block}.")
    if promotion == DONE:
        return Standing(
            "replaced", f"No longer the champion: {_promoted(version)}{_replaced(version, others)}."
        )
    if promotion.startswith(("failed: ", "reverted: ")):
        return Standing(promotion.partition(":")[0], f"Not the champion: its promotion {_was(promotion)}.")
    if promotion:
        return Standing("being promoted", "It is being promoted, or a promotion was interrupted.")
    if tags.CHALLENGER in version.aliases:
        return Standing("on trial", "The challenger: on trial, and not in use.")
    return Standing("not in use", "Never promoted.")


def who(by: str, user: str) -> str:
    """Who did something: `ada (operator)`, `ada (flow run 3f1c02ab)`; empty where nobody knows."""
    role = f"flow run {by[:8]}" if FLOW_RUN.fullmatch(by) else by
    return f"{user} ({role})" if user and role else user or role


def when(time: str) -> str:
    """A time in UTC as people read it: `2026-11-26 14:02 UTC`."""
    return f"{time[:10]} {time[11:16]} UTC" if time else "an unknown time"


def place(number: int | str) -> str:
    """A version by its number, 0 for the base model."""
    return "the base model" if str(number) == "0" else f"version {number}"


def _promoted(version: Version) -> str:
    at = version.tags.get(tags.PROMOTED_AT, "")
    if not at:
        return "by an alias that was set by hand"
    by = who(version.tags.get(tags.PROMOTED_BY, ""), version.tags.get(tags.PROMOTED_USER, ""))
    return f"promoted on {when(at)}" + (f" by {by}" if by else "")


def _rolled_back(version: Version, promotion: str) -> str:
    note, reason = rollback_note(version), promotion.removeprefix(ROLLED_BACK)
    if note is None:
        return f"rolled back, because: {reason}"
    by = who(note.by, note.user)
    return f"rolled back to {place(note.to)} on {when(note.at)}" + (f" by {by}" if by else "") + f": {reason}"


def _replaced(version: Version, others: Sequence[Version]) -> str:
    after = version.tags.get(tags.PROMOTED_AT, "")
    later = [
        (at, other.number)
        for other in others
        if other.number_in(tags.PROMOTION_FROM) == version.number
        and (at := other.tags.get(tags.PROMOTED_AT, "")) >= after
    ]
    if not later:
        return ", and replaced since"
    at, number = min(later)
    return f", replaced by version {number} on {when(at)}"


def _was(promotion: str) -> str:
    what, _, reason = promotion.partition(": ")
    return f"{'failed' if what == 'failed' else 'was reverted'}: {reason}"
