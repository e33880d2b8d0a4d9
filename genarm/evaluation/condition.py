"""One condition of the rule, and the numbers that all conditions share."""

from dataclasses import dataclass
from typing import Literal

from scipy import stats

from genarm.types import Comparison

MAX_UNREAD = 0.1  # share of prompts; with more, the unread verdicts might have changed the result
NEAR = 1e-9  # rates that differ by less are equal: 0.52 - 0.5 is not 0.02 in floating point
POWER = 0.8  # the chance of a decision at the number of prompts that a `hold` names
Z = float(stats.norm.isf(0.05))  # one-sided 95% bounds
Z_POWER = float(stats.norm.ppf(POWER))

State = Literal["failed", "open", "passed"]
# What the conditions ask: better than its rival, no harm to other dimensions, fluent, not repetitive, judged
# by somebody who can be relied on. `tuned` is asked only where tuning found no weight that keeps its limits.
Question = Literal["tuned", "better", "harmless", "fluent", "varied", "judged"]


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition of the rule: its state, a sentence with its numbers, prompts that would decide it.

    `by_prompts` says whether more prompts can settle it at all, where it is open.
    """

    state: State
    reason: str
    prompts_needed: int | None = None
    by_prompts: bool = True


def unread_too_often(read: int, unread: int) -> bool:
    """Whether more than a tenth of what was asked could not be read."""
    return unread > MAX_UNREAD * (read + unread)


def too_many_unread(comparison: Comparison) -> Condition | None:
    """An open condition where more than a tenth of the verdicts could not be read, else None."""
    asked = comparison.win_rate.n + comparison.unread
    if asked and not unread_too_often(comparison.win_rate.n, comparison.unread):
        return None
    return Condition(
        "open",
        f"{comparison.dimension}: {comparison.unread} of {asked} verdicts on {comparison.left} against "
        f"{comparison.right} could not be read, more than {MAX_UNREAD:.0%}: repair the judge and judge again",
        by_prompts=False,
    )
