"""Whether the judges of a challenger can be relied on: conditions of the rule that only prevent promotions.

agreement  of a judge that was checked against people (`genarm judge-check`) the 95% interval of the agreement
           lies above 1/2 on every file of the check, and at most 10% of the pairs are unread; not asked
           where `weak_judges` names the dimension. A judge that was never checked passes, and the reason
           says so; so it does where the check is of another judge, unless that one did not pass.
confirmed  with `held_out: required`: on the challenger's own dimension, by the held-out judge, the win rate
           over the rival > 1/2, and its lower 95% bound (one-sided, Wilson) > 1/2 - margin. It fails where
           the upper bound < 1/2. The held-out judge is asked for its agreement, too. Where a run goes on
           after a hold, the lower bound is that of `sequential`, as of a guard.

`confirmed` asks for the direction, not for a second significant win: the win is shown by the judge, with its
share of alpha, and a held-out judge that agrees with it only in part sees a smaller effect, for which a
second test would ask for several times the prompts. The bound matters for a handful of prompts, or a margin
smaller than the default. Both conditions are asked in addition to the rule's others, so the chance that a
run promotes any challenger which is no better by its judge stays at most alpha. Where the judge alone is
deceived, `confirmed` lets fewer than half of such wins pass if the held-out judge sees no difference, and
hardly any if it sees a loss.

Chance that `confirmed` holds, by the true win rate that the held-out judge sees, without ties (margin 0.15;
exact):

    prompts   0.35   0.40   0.45   0.50   0.55   0.60   0.70
    60        0.01   0.04   0.18   0.45   0.74   0.93   1.00
    120       0.00   0.01   0.12   0.46   0.84   0.98   1.00
    400       0.00   0.00   0.02   0.48   0.97   1.00   1.00
"""

import math

from genarm.config import RuleConfig
from genarm.errors import DataError
from genarm.evaluation.condition import NEAR, Z_POWER, Condition, Z, too_many_unread, unread_too_often
from genarm.evaluation.scorecard import comparison
from genarm.evaluation.win_rate import wilson
from genarm.types import Agreement, Comparison, JudgeStanding, Scorecard

HALF = 0.5
CHECK = "genarm judge-check"


def judge_conditions(card: Scorecard, rule: RuleConfig) -> list[Condition]:
    """Those on the judges of a challenger's own dimension; none where it is not known who judged.

    Raises DataError where the held-out judge is required and gave no verdict on the challenger.
    """
    required = rule.held_out == "required"
    found = [
        agrees(standing, standing.dimension in rule.weak_judges)
        for standing in card.standings
        if standing.dimension == card.dimension and (required or not standing.held_out)
    ]
    return [*found, _confirmed(card, rule)] if required else found


def agrees(standing: JudgeStanding, weak_allowed: bool = False) -> Condition:
    """Whether a judge is shown to agree with people more often than chance, where that was checked."""
    who = f"{'held-out judge' if standing.held_out else 'judge'} {standing.judge or 'of unknown name'}"
    again = f"{CHECK} {standing.dimension} FILE"
    if standing.check is None:
        return Condition("passed", f"{who}: not measured against people ({again})")
    weak = [a for a in standing.check.agreements if not passes(a)]
    if standing.stale and weak and not weak_allowed:  # or any change of a weak judge would let it promote
        return Condition(
            "open",
            f"{who}: not measured against people, {standing.stale}, and that check did not pass: check it "
            f"anew ({again}), or name {standing.dimension} in decide.weak_judges",
            by_prompts=False,
        )
    if standing.stale:
        return Condition("passed", f"{who}: not measured against people, {standing.stale} ({again})")
    told = ", ".join(f"{a.accuracy} on {a.file}" for a in standing.check.agreements)
    if not weak:
        return Condition("passed", f"{who}: agrees with people, {told}")
    why = "; ".join(shortfall(a) for a in weak)
    if weak_allowed:
        return Condition("passed", f"{who}: {why}; allowed by decide.weak_judges")
    return Condition(
        "open",
        f"{who}: {why}: take a better judge and check it ({again}), "
        f"or name {standing.dimension} in decide.weak_judges",
        by_prompts=False,
    )


def passes(agreement: Agreement) -> bool:
    """Whether the interval lies above 1/2, and at most a tenth of the pairs could not be read."""
    return agreement.accuracy.interval[0] > HALF and not _too_many_unread(agreement)


def shortfall(agreement: Agreement) -> str:
    """Why an agreement does not pass, with its numbers."""
    if _too_many_unread(agreement):
        pairs = agreement.accuracy.n + agreement.unread
        return f"{agreement.unread} of {pairs} pairs of {agreement.file} could not be read"
    _, high = agreement.accuracy.interval
    seen = f"agreement with people {agreement.accuracy} on {agreement.file}"
    return f"{seen} is below {HALF:g}" if high < HALF else f"{seen} is not shown to exceed {HALF:g}"


def _too_many_unread(agreement: Agreement) -> bool:
    return unread_too_often(agreement.accuracy.n, agreement.unread)


def _confirmed(card: Scorecard, rule: RuleConfig) -> Condition:
    """The held-out judge sees a gain on the challenger's own dimension, or at least no loss of note."""
    found = comparison(card, card.dimension, card.rival, held_out=True)
    if found is None:
        raise DataError(
            f"scorecard of {card.dimension!r} has no verdicts of a held-out judge on challenger and "
            f"{card.rival}, and decide.held_out is required",
            hint=f"name one in dimensions.{card.dimension}.held_out, then: genarm judge {card.dimension}",
        )
    return too_many_unread(found) or _sees_a_gain(found, rule.margin)


def _sees_a_gain(found: Comparison, margin: float) -> Condition:
    rate, n = found.win_rate.value, found.win_rate.n
    lower, upper = wilson(rate, n, Z)
    lower = found.looked.lower if found.looked else lower
    least = HALF - margin
    seen = f"held-out judge on {found.dimension}: win rate {found.win_rate} over {found.right}"
    if upper < HALF:
        return Condition("failed", f"{seen}, upper bound {upper:.2f} < {HALF:g}")
    if rate <= HALF + NEAR:
        return Condition("open", f"{seen}, not above {HALF:g}: it does not confirm the win")
    if lower > least:
        return Condition("passed", f"{seen}, above {HALF:g}, lower bound {lower:.2f} > {least:g}")
    spread = Z * math.sqrt(least * (1 - least)) + Z_POWER * math.sqrt(rate * (1 - rate))
    needed = max(n + 1, math.ceil((spread / (rate - least)) ** 2))
    return Condition(
        "open", f"{seen}, lower bound {lower:.2f} <= {least:g}: {needed} prompts would decide it", needed
    )
