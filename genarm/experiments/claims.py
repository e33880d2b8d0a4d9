"""Claims to verdicts: `confirms`, `refutes` or `inconclusive`, each with its numbers. Only numbers pass here.

| claim | confirms | refutes |
|---|---|---|
| beats | adjusted p < alpha and win rate at least `least` | upper bound below 1/2 |
| equivalent | the interval of both one-sided tests within 0.5 -+ margin | that interval below 0.5 - margin |
| faster | at least so many times as fast in the slowest repeat | not even in the fastest |
| recovers | lower bound of the gap above 1/2 and the control | upper bound below 1/2, or the control |
| front | lower bound of the difference above 0 by gold and held-out judges | upper bound below 0 by any |
| keeps | lower bound of what is constrained at least the threshold | upper bound below it |
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

import numpy as np

from genarm.evaluation.rule import holm
from genarm.experiments.resampling import Array, Sampled, p_value, rate, sampled
from genarm.experiments.sizes import needed_for_difference, needed_for_equivalence, spread, tost
from genarm.types import Estimate

Outcome = Literal["confirms", "refutes", "inconclusive", "not met"]  # the last: of a constraint
SEEDS_DIFFER = (
    "; the training seeds differ so much that no number of prompts would decide: train more of them"
)


@dataclass(frozen=True, slots=True)
class Claim:
    """One claim about a row against another, its verdict, and why; `needed` are prompts that would decide."""

    kind: str
    subject: str
    other: str
    verdict: Outcome
    why: str
    needed: int | None = None


def without_numbers(kind: str, subject: str, other: str, why: str) -> Claim:
    """A claim that nothing measured speaks for or against."""
    return Claim(kind, subject, other, "inconclusive", f"it cannot be computed: {why}")


def beats(subject: str, outcomes: Mapping[str, Array], *, alpha: float, least: float) -> list[Claim]:
    """That a row has a higher win rate than each of several others, Holm-corrected over them."""
    raw = [p_value(array) for array in outcomes.values()]
    return [
        _beats(subject, other, array, p, alpha * (unadjusted / p if p else 1.0), alpha, least)
        for (other, array), unadjusted, p in zip(outcomes.items(), raw, holm(raw), strict=True)
    ]


def _beats(
    subject: str, other: str, outcomes: Array, p: float, share: float, alpha: float, least: float
) -> Claim:
    """`share` is the part of alpha that Holm leaves to this one."""
    found = rate(outcomes)
    numbers = f"win rate {found} over {other}, adjusted p {p:.2g}"
    if p < alpha and found.value >= least:
        return Claim("beats", subject, other, "confirms", f"{numbers} < {alpha:g}, at least {least:g}")
    if found.interval[1] < 0.5:
        return Claim("beats", subject, other, "refutes", f"{numbers}: the upper bound is below 0.5")
    if p < alpha and 0.5 < found.value < least:
        more = f"{numbers}; better, but by less than the {least:g} that was claimed"
        return Claim("beats", subject, other, "inconclusive", more)
    several = spread(outcomes, share / 2) if len(outcomes) > 1 else None
    needed = needed_for_difference(found.value, share, of=several)
    more = f"; {needed} prompts would tell {found.value:.2f} from 0.5" if needed and needed > found.n else ""
    if several and several.seeds >= abs(found.value - 0.5):
        more = SEEDS_DIFFER
    return Claim("beats", subject, other, "inconclusive", f"{numbers}{more}", needed if more else None)


def equivalent(subject: str, other: str, outcomes: Array, margin: float, alpha: float) -> Claim:
    """That a row is as good as another, within a margin of the win rate."""
    found = tost(outcomes, margin, alpha)
    low, high = found.estimate.interval
    numbers = (
        f"win rate {found.estimate.value:.2f}, {1 - 2 * alpha:.0%} interval [{low:.2f}, {high:.2f}], "
        f"n={found.estimate.n}, margin {margin:g}, p {found.p_value:.2g}"
    )
    if low > 0.5 - margin and high < 0.5 + margin:
        return Claim("equivalent", subject, other, "confirms", numbers)
    if high < 0.5 - margin:
        return Claim("equivalent", subject, other, "refutes", numbers)
    if low > 0.5 + margin:
        better = f"{numbers}: better by more than the margin"
        return Claim("equivalent", subject, other, "inconclusive", better)
    needed = needed_for_equivalence(margin, spread(outcomes, alpha), alpha)
    if needed is None:
        return Claim("equivalent", subject, other, "inconclusive", numbers + SEEDS_DIFFER)
    if needed <= found.estimate.n:
        enough = f"{numbers}: two equal methods would have been found equivalent"
        return Claim("equivalent", subject, other, "inconclusive", enough)
    more = f"; {needed} prompts would show two equal methods to be equivalent"
    return Claim("equivalent", subject, other, "inconclusive", numbers + more, needed)


def faster(subject: str, other: str, own: Sequence[float], theirs: Sequence[float], factor: float) -> Claim:
    """That a row takes at most 1 / factor of another one's time; both are in times of the base's.

    A number for each repeat: it is confirmed or refuted where the slowest and the fastest agree.
    """
    least, most = min(theirs) / max(own), max(theirs) / min(own)
    verdict: Outcome = "confirms" if least >= factor else "refutes" if most < factor else "inconclusive"
    why = (
        f"{median(own):.3g} times the base's seconds against {median(theirs):.3g}: "
        f"{median(theirs) / median(own):.1f} times as fast, {least:.1f} to {most:.1f} over repeats, "
        f"claimed {factor:g}"
    )
    return Claim("faster", subject, other, verdict, why)


def recovers(
    subject: str, rates: Mapping[str, Array], floor: str, ceiling: str, control: str | None
) -> Claim:
    """That a row recovers at least half of the way from a weak row to a strong one, and more than a control.

    (subject - floor) / (ceiling - floor), of `rates` [s, p] of one measure, by a bootstrap that draws the
    same prompts for all rows.
    """
    found = gap(rates, subject, floor, ceiling)
    own, (low, high) = found.value, found.interval()
    numbers = f"gap recovered {own:.2f} [{low:.2f}, {high:.2f}] between {floor} and {ceiling}"
    if math.isnan(own):
        numbers = f"{floor} and {ceiling} are equal, so that there is no gap"
    if sampled(rates, lambda means: means[ceiling] - means[floor]).interval()[0] <= 0:
        return Claim(
            "recovers",
            subject,
            ceiling,
            "inconclusive",
            f"{numbers}; {ceiling} is not above {floor} for certain",
        )
    above = True
    if control is not None:
        more = gap(rates, subject, control, ceiling, floor)
        bounds = more.interval()
        numbers += f"; {more.value:+.2f} [{bounds[0]:.2f}, {bounds[1]:.2f}] against the control {control}"
        above = bounds[0] > 0
        if bounds[1] < 0:
            return Claim("recovers", subject, ceiling, "refutes", f"{numbers}: no better than the control")
    if low > 0.5 and above:
        return Claim("recovers", subject, ceiling, "confirms", numbers)
    if high < 0.5:
        return Claim("recovers", subject, ceiling, "refutes", numbers)
    # Where the seeds alone leave 1/2 within reach, more prompts would not tell.
    told = found.over_seeds() < abs(own - 0.5)
    needed = _for_half(own, low, high, rates) if told else None
    return Claim("recovers", subject, ceiling, "inconclusive", numbers, needed)


def gap(rates: Mapping[str, Array], row: str, start: str, ceiling: str, floor: str | None = None) -> Sampled:
    """(row - start) / (ceiling - floor), `floor` being `start` unless named; NaN without a gap."""
    floor = floor or start

    def of(means: Mapping[str, Array]) -> Array:
        with np.errstate(divide="ignore", invalid="ignore"):
            found: Array = (means[row] - means[start]) / (means[ceiling] - means[floor])
        return np.where(np.isfinite(found), found, np.nan)

    return sampled(rates, of)


def _for_half(value: float, low: float, high: float, rates: Mapping[str, Array]) -> int | None:
    """Prompts whose interval, as wide as 1 / sqrt(n), would no longer hold 1/2."""
    distance, prompts = abs(value - 0.5), next(iter(rates.values())).shape[1]
    if not distance or not math.isfinite(distance):
        return None
    return math.ceil(float(prompts * ((high - low) / 2 / distance) ** 2))


def front(
    subject: str, other: str, differences: Mapping[str, Estimate], points: tuple[int, int] = (0, 0)
) -> Claim:
    """That a row's front dominates more than another's: hypervolume differences by judge, the gold one first.

    By the gold judge alone nothing is confirmed, and neither where the row that is found better has more
    `points`: these are how many subject and other have.
    """
    numbers = "; ".join(f"{judge}: hypervolume {_signed(found)}" for judge, found in differences.items())
    bounds: Sequence[tuple[float, float]] = [found.interval for found in differences.values()]
    if not bounds:
        numbers = "no judge gave a score to every response, so that there is no front"
    elif all(low > 0 for low, _ in bounds):
        if points[0] > points[1]:
            numbers += f"; {points[0]} points against {points[1]} enclose more by themselves"
        elif len(bounds) < 2:
            numbers += "; no dimension has a held-out judge with scores, which would have to agree"
        else:
            return Claim("front", subject, other, "confirms", numbers)
    elif any(high < 0 for _, high in bounds):
        if points[1] <= points[0]:
            return Claim("front", subject, other, "refutes", numbers)
        numbers += f"; {points[1]} points against {points[0]} enclose more by themselves"
    return Claim("front", subject, other, "inconclusive", numbers)


def _signed(found: Estimate) -> str:
    low, high = found.interval
    return f"{found.value:+.3f} [{low:+.3f}, {high:+.3f}] n={found.n}"
