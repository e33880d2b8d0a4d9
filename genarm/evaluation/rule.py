"""Scorecards and the rule to decisions. Arithmetic only: the registry carries a decision out.

A challenger is promoted when all of this holds; its rival is the champion or, while there is none, the base:

win        exact one-sided sign test on its own dimension, Holm-adjusted over the dimensions decided
           together: p < alpha. So alpha bounds the chance that a run promotes any challenger that is no
           better than its rival.
gain       win rate - 1/2 >= min_gain
guard      on every other dimension the lower 95% bound (one-sided, Wilson) of the win rate > 1/2 - margin
judged     the judge agrees with people, where that was checked, and the held-out judge confirms the win,
           where that is required: see `judge_conditions`
health     perplexity and repetition at most max_health_ratio times the base's own; repetition may always
           exceed it by 0.02, since a base that never repeats itself would otherwise forbid any repetition

It is rejected when the data rule a promotion out: the upper 95% bound of the win rate < 1/2 + min_gain, or
that of a guard < 1/2 - margin, that of the held-out judge < 1/2, or health fails, or no weight that was tried
in tuning kept its limits. Otherwise it is held, and the number of prompts that would decide it is named.

Where a run goes on after a hold (`decide.max_prompts`), the p-value of `win` and the lower bound of `guard`
are those of `sequential`, which hold at any look: a promotion rests on them. The upper bounds and health stay
those of one look. To look at them often can only reject more, which never promotes anything.

Chance that `win` and `gain` hold, by true win rate, without ties (min_gain 0.02; exact). For `two`, it
is decided together with another dimension that shows no difference; where that one wins as well, the chance
lies between the two columns.

    prompts   true win rate   alpha 0.01: one   two   alpha 0.05: one   two
    100       0.55                       0.07   0.04             0.24   0.13
    100       0.60                       0.31   0.24             0.62   0.46
    100       0.70                       0.95   0.92             0.99   0.98
    200       0.55                       0.18   0.11             0.36   0.26
    200       0.60                       0.69   0.59             0.86   0.79
    200       0.70                       1.00   1.00             1.00   1.00
    400       0.55                       0.36   0.26             0.64   0.48
    400       0.60                       0.95   0.92             0.99   0.98
    400       0.70                       1.00   1.00             1.00   1.00
"""

import math
from collections.abc import Sequence
from typing import Literal

from scipy import stats

from genarm.config import RuleConfig
from genarm.errors import DataError
from genarm.evaluation.condition import (
    NEAR,
    Z_POWER,
    Condition,
    Question,
    State,
    Z,
    too_many_unread,
)
from genarm.evaluation.judge_conditions import judge_conditions
from genarm.evaluation.scorecard import comparison
from genarm.evaluation.text_health import Limit, health_limits
from genarm.evaluation.win_rate import wilson
from genarm.types import Comparison, Decision, Scorecard

OUTCOMES: dict[State, Literal["reject", "hold", "promote"]] = {
    "failed": "reject",
    "open": "hold",
    "passed": "promote",
}


def decide(scorecards: Sequence[Scorecard], rule: RuleConfig) -> list[Decision]:
    """One decision a scorecard, in their order; each must be guarded on the dimensions of all the others.

    A challenger with the champion's hash is `same` and takes no share of alpha. Raises DataError where a
    scorecard lacks a comparison that the rule reads.
    """
    decisions = []
    for card, answers in zip(scorecards, conditions(scorecards, rule), strict=True):
        found = [condition for answered in answers.values() for condition in answered]
        if _same(card):
            reason = (
                f"{card.dimension}: the challenger has the champion's adapter {card.challenger_sha256[:12]}"
            )
            found = [Condition("passed", reason)]
        decisions.append(_decision(card, found))
    return decisions


def conditions(
    scorecards: Sequence[Scorecard], rule: RuleConfig
) -> list[dict[Question, Sequence[Condition]]]:
    """What `decide` decides on: the conditions of each scorecard by what they ask; of `same` there are none.

    Raises DataError where a scorecard lacks a comparison that the rule reads.
    """
    dimensions = [s.dimension for s in scorecards]
    tried = [s for s in scorecards if not _same(s)]
    adjusted = holm([p_value(_against_rival(s, s.dimension)) for s in tried])
    p_values = {s.dimension: p for s, p in zip(tried, adjusted, strict=True)}
    found: list[dict[Question, Sequence[Condition]]] = []
    for card in scorecards:
        answers: dict[Question, Sequence[Condition]] = {}
        if not _same(card):
            perplexity, repetition = _text_health(card, rule)
            if card.no_weight:
                answers["tuned"] = [Condition("failed", f"{card.dimension}: {card.no_weight}")]
            answers |= {
                "better": [_win(card, rule, p_values[card.dimension], len(tried))],
                "harmless": [_guard(card, d, rule) for d in dimensions if d != card.dimension],
                "fluent": [perplexity],
                "varied": [repetition],
                "judged": judge_conditions(card, rule),
            }
        found.append(answers)
    return found


def p_value(comparison: Comparison) -> float:
    """The p-value that the rule reads: the always-valid one where the run may go on after a look.

    Always-valid p-values may be adjusted by Holm at any look, also if each dimension stops at its own: had
    all gone on to the end, each would be as small or smaller, so Holm would call every win that it calls now,
    and any false one among those has a chance of at most alpha.
    """
    return comparison.looked.p_value if comparison.looked else comparison.p_value


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values, in the order given: the i-th smallest of m (i from 0) times m - i, but never
    below the one before it, nor above 1. Calling a win where they are below alpha bounds the chance of any
    false one by alpha. (Holm 1979; statsmodels has it too, but collects garbage for 0.2 s on every call)
    """
    adjusted, least, m = [0.0] * len(p_values), 0.0, len(p_values)
    for rank, index in enumerate(sorted(range(m), key=lambda i: p_values[i])):
        least = max(least, min(1.0, (m - rank) * p_values[index]))
        adjusted[index] = least
    return adjusted


def _decision(card: Scorecard, conditions: Sequence[Condition]) -> Decision:
    """The worst condition decides; reasons are in the order worst first, then in that of the rule."""
    ranked = sorted(conditions, key=lambda condition: list(OUTCOMES).index(condition.state))
    outcome = OUTCOMES[ranked[0].state]
    needed = None
    if outcome == "hold":
        open_ones = [c.prompts_needed for c in ranked if c.state == "open"]
        known = [n for n in open_ones if n is not None]
        needed = max(known) if len(known) == len(open_ones) else None
    return Decision(
        dimension=card.dimension,
        outcome="same" if _same(card) else outcome,
        reasons=[condition.reason for condition in ranked],
        challenger_sha256=card.challenger_sha256,
        champion=card.champion,
        prompts_needed=needed,
    )


def _win(card: Scorecard, rule: RuleConfig, p: float, family: int) -> Condition:
    """Better than the rival on the dimension it was trained for, and by enough."""
    comparison = _against_rival(card, card.dimension)
    if unread := too_many_unread(comparison):
        return unread
    rate, n = comparison.win_rate.value, comparison.win_rate.n
    gain, upper = rate - 0.5, wilson(rate, n, Z)[1]
    seen = f"{card.dimension}: win rate {comparison.win_rate} over {card.rival}"
    shown = f"adjusted p {p:.2g}"
    if looked := comparison.looked:
        shown = (
            f"look {looked.looks}, {n + comparison.unread} of at most {looked.most} prompts, "
            f"adjusted always-valid p {p:.2g}"
        )
    if p < rule.alpha and rate >= 0.5 + rule.min_gain:
        return Condition("passed", f"{seen}, {shown} < {rule.alpha:g}, gain {gain:.2f} >= {rule.min_gain:g}")
    if upper < 0.5 + rule.min_gain:
        return Condition("failed", f"{seen}, upper bound {upper:.2f} < {0.5 + rule.min_gain:g}")
    # A graded judge may see more wins than losses while the mean falls, or the reverse.
    if gain <= rule.min_gain + NEAR or comparison.wins <= comparison.losses:
        return Condition(
            "open",
            f"{seen}, {shown}, gain {gain:.3f} against the {rule.min_gain:g} it must exceed: "
            "too small to be decided by more prompts",
        )
    # Holm may be kinder, but what the other dimensions will show is not known.
    needed = max(n + 1, prompts_to_win(comparison, rule, rule.alpha / family))
    return Condition("open", f"{seen}, {shown} >= {rule.alpha:g}: {needed} prompts would decide it", needed)


def prompts_to_win(comparison: Comparison, rule: RuleConfig, alpha: float) -> int:
    """Prompts at which a true effect of the size seen, above min_gain, passes with chance 0.8; approximate.

    Of the sign test, q = wins / (wins + losses): ((z_alpha / 2 + z_power sqrt(q (1 - q))) / (q - 1/2))^2
    discordant prompts; of the gain, (z_power sqrt(rate (1 - rate)) / (gain - min_gain))^2. The larger one.
    The variance in the second is the largest that the win rate allows, as in Wilson's bound.
    """
    rate, discordant = comparison.win_rate.value, comparison.wins + comparison.losses
    q = comparison.wins / discordant
    z_alpha = float(stats.norm.isf(alpha))
    of_test = ((z_alpha / 2 + Z_POWER * math.sqrt(q * (1 - q))) / (q - 0.5)) ** 2
    of_gain = (Z_POWER * math.sqrt(rate * (1 - rate)) / (rate - 0.5 - rule.min_gain)) ** 2
    return math.ceil(max(of_test * comparison.win_rate.n / discordant, of_gain))


def _guard(card: Scorecard, dimension: str, rule: RuleConfig) -> Condition:
    """Not worse than the rival, by more than the margin, on a dimension it was not trained for."""
    comparison = _against_rival(card, dimension)
    if unread := too_many_unread(comparison):
        return unread
    rate, n = comparison.win_rate.value, comparison.win_rate.n
    least = 0.5 - rule.margin
    lower, upper = wilson(rate, n, Z)
    lower = comparison.looked.lower if comparison.looked else lower
    seen = f"{dimension}: win rate {comparison.win_rate} over {card.rival}"
    if lower > least:
        return Condition("passed", f"{seen}, lower bound {lower:.2f} > {least:g}")
    if upper < least:
        return Condition("failed", f"{seen}, upper bound {upper:.2f} < {least:g}")
    if rate <= least + NEAR:
        return Condition("open", f"{seen}, not above {least:g}: more prompts would not decide for it")
    spread = Z * math.sqrt(least * (1 - least)) + Z_POWER * math.sqrt(rate * (1 - rate))
    needed = max(n + 1, math.ceil((spread / (rate - least)) ** 2))
    return Condition(
        "open", f"{seen}, lower bound {lower:.2f} <= {least:g}: {needed} prompts would decide it", needed
    )


def _text_health(card: Scorecard, rule: RuleConfig) -> tuple[Condition, Condition]:
    """The text still reads like the base's: no loops, nothing that the base finds improbable."""
    sides = {h.side: h for h in card.health}
    if "base" not in sides or "challenger" not in sides:
        raise DataError(
            f"scorecard of {card.dimension!r} has the health of {sorted(sides)}, not of base and challenger",
            hint="genarm decide",
        )
    base, challenger = sides["base"], sides["challenger"]
    perplexity, repetition = health_limits(base, rule.max_health_ratio)
    return _kept(perplexity, challenger.perplexity), _kept(repetition, challenger.repetition)


def _kept(limit: Limit, value: float) -> Condition:
    kept, reason = limit.check(value)
    return Condition("passed" if kept else "failed", reason)


def _same(card: Scorecard) -> bool:
    return card.champion is not None and card.champion.adapter_sha256 == card.challenger_sha256


def _against_rival(card: Scorecard, dimension: str) -> Comparison:
    if found := comparison(card, dimension, card.rival):
        return found
    raise DataError(
        f"scorecard of {card.dimension!r} does not compare challenger and {card.rival} on {dimension!r}",
        hint=f"judge them first: genarm judge {card.dimension}",
    )
