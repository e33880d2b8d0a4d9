"""What becomes of a challenger in service beside the champion: a rule that may be asked after every outcome.

An outcome is one prompt that both answered: 1 where the challenger was preferred, 0 where the champion was,
1/2 for a tie. Its bounds are those of `betting`, so the rule may be asked at any time:

reject    the challenger's responses fail more often than `max_errors`, or exceed a limit of the text or of
          time more often than `max_unhealthy`: shown by the same test at `alpha_health`, each response being
          1 where it does. Or the win rate is shown to be below 1/2 - `margin`, at `alpha_harm`
promote   the win rate is shown to be above 1/2 + `min_gain`, at `alpha`
hold      none of these after `max_outcomes`
"""

from dataclasses import dataclass
from typing import Literal

from genarm.config import CanaryConfig
from genarm.evaluation.betting import Counts, exceeds, lower_bound, turned, upper_bound
from genarm.types import Estimate, Responses


@dataclass(frozen=True, slots=True)
class CanaryStanding:
    """Where a challenger stands: an outcome that ends its trial, or None, and the reason in a sentence.

    The interval of the win rate holds at any look: below it with a chance of at most `alpha`, above it of at
    most `alpha_harm`.
    """

    outcome: Literal["promote", "hold", "reject"] | None
    reason: str
    win_rate: Estimate


def too_many(count: int, of: int, most: float, alpha: float) -> bool:
    """Whether `count` of so many responses show a share above `most`; falsely, ever, at most `alpha`."""
    return exceeds({1.0: count, 0.0: of - count}, most, alpha)


def unfit(challenger: Responses, rule: CanaryConfig) -> str:
    """Why the challenger's responses end its trial at once, in a sentence; empty where they do not."""
    for count, most, what in (
        (challenger.failed, rule.max_errors, "failed"),
        (challenger.unhealthy, rule.max_unhealthy, "exceed a limit of KL, repetition or seconds"),
    ):
        if too_many(count, challenger.given, most, rule.alpha_health):
            return (
                f"{count} of {challenger.given} responses {what}, shown to be more than {most:g} of them "
                f"({_falsely(rule.alpha_health)})"
            )
    return ""


def standing(outcomes: Counts, challenger: Responses, rule: CanaryConfig) -> CanaryStanding:
    """Where a challenger stands after these outcomes and responses."""
    n = sum(outcomes.values())
    mean = sum(x * times for x, times in outcomes.items()) / n if n else 0.5
    rate = Estimate(mean, (lower_bound(outcomes, rule.alpha), upper_bound(outcomes, rule.alpha_harm)), n)
    gain, harm = 0.5 + rule.min_gain, 0.5 - rule.margin
    seen = f"win rate {rate} over the champion in service"
    if why := unfit(challenger, rule):
        return CanaryStanding("reject", why, rate)
    if exceeds(turned(outcomes), 1 - harm, rule.alpha_harm):
        reason = (
            f"{seen}, shown to be below {harm:g} (at any look, falsely with a chance of {rule.alpha_harm:g})"
        )
        return CanaryStanding("reject", reason, rate)
    if exceeds(outcomes, gain, rule.alpha):
        reason = f"{seen}, shown to be above {gain:g} ({_falsely(rule.alpha)})"
        return CanaryStanding("promote", reason, rate)
    if n >= rule.max_outcomes:
        return CanaryStanding("hold", f"{seen}, undecided after {rule.max_outcomes} outcomes", rate)
    return CanaryStanding(None, f"{seen}, of at most {rule.max_outcomes} outcomes", rate)


def _falsely(alpha: float) -> str:
    return f"falsely, at any look, with a chance of {alpha:g}"
