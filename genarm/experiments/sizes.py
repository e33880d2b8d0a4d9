"""Equivalence by two one-sided tests, and how many prompts a claim needs."""

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

from genarm.experiments.resampling import (
    Array,
    of_mean,
    one_sided,
    rate,
    spread_of_prompts,
    spread_of_seeds,
)
from genarm.types import Estimate

POWER = 0.8


@dataclass(frozen=True, slots=True)
class Equivalence:
    """Two one-sided tests of a win rate within 0.5 -+ margin.

    `estimate` has the interval of confidence 1 - 2 alpha: it lies within the margin where both tests reject.
    """

    estimate: Estimate
    p_value: float
    margin: float


def tost(outcomes: Array, margin: float, alpha: float = 0.05) -> Equivalence:
    """Whether a win rate is within 0.5 -+ margin: p is the larger of the two one-sided ones.

    (Schuirmann 1987) The tests take the errors over prompts and seeds that the interval takes; of outcomes
    that are all alike, that of a fair coin.
    """
    found, n = of_mean(outcomes), int((~np.isnan(outcomes)).any(axis=0).sum())
    over_prompts = float(np.nanstd(found.sample)) or 0.5 / math.sqrt(n)
    above = one_sided(found.value - (0.5 - margin), over_prompts, found.seeds)
    below = one_sided(0.5 + margin - found.value, over_prompts, found.seeds)
    return Equivalence(rate(outcomes, 1 - 2 * alpha), max(above, below), margin)


@dataclass(frozen=True, slots=True)
class Spread:
    """What a number of prompts is computed from: the spread that more prompts make smaller, and the rest.

    `prompts` is the deviation of an outcome, widened by as much as the seeds widen the interval; `seeds` is
    the half width that would be left with prompts without end.
    """

    prompts: float = 0.5
    seeds: float = 0.0


def spread(outcomes: Array, tail: float) -> Spread:
    """The spread of outcomes [s, p], for an interval that leaves `tail` on either side."""
    n, found = len(outcomes), of_mean(outcomes)
    over_prompts, z = spread_of_prompts(outcomes), float(stats.norm.isf(tail))
    error = over_prompts / math.sqrt(outcomes.shape[1])
    wider = found.over_seeds(1 - 2 * tail)
    if not wider or not error:
        return Spread(over_prompts)
    left = float(stats.t.isf(tail, n - 1)) * spread_of_seeds(outcomes) / math.sqrt(n)
    return Spread(over_prompts * math.hypot(1, wider / (z * error)), left)


def needed_for_equivalence(
    margin: float, of: Spread = Spread(), alpha: float = 0.05, power: float = POWER
) -> int | None:
    """Prompts that show two equal methods to be equivalent: (z_(1-alpha) + z_(1-beta/2))^2 sd^2 / margin^2.

    Without ties and with one seed, a margin of 0.07 takes 437. None where the seeds differ so much that no
    number of prompts would.
    """
    if of.seeds >= margin:
        return None
    deviation = of.prompts if of.prompts > 0 else 0.5  # of outcomes that are all alike nothing is known
    quantiles = stats.norm.isf(alpha) + stats.norm.isf((1 - power) / 2)
    return math.ceil(float(quantiles * deviation / margin) ** 2)


def power_of_equivalence(prompts: int, margin: float, alpha: float = 0.05, spread: float = 0.5) -> float:
    """The chance that two equal methods are found so: 2 Phi(margin sqrt(n) / sd - z_(1-alpha)) - 1."""
    distance = margin * math.sqrt(prompts) / spread - float(stats.norm.isf(alpha))
    return max(0.0, 2 * float(stats.norm.cdf(distance)) - 1)


def needed_for_difference(
    value: float, alpha: float = 0.05, power: float = POWER, of: Spread | None = None
) -> int | None:
    """Prompts that tell a win rate from 1/2, two-sided; None where no number of them would.

    ((z_(1-alpha/2) sd + z_(power) sd') / (r - 1/2))^2: of one seed without ties sd is 1/2 and sd' is
    sqrt(r (1 - r)), so that 0.55 takes 783; of several, both are the spread that was found.
    """
    if value == 0.5 or math.isnan(value) or (of is not None and of.seeds >= abs(value - 0.5)):
        return None
    null, other = (of.prompts,) * 2 if of else (0.5, math.sqrt(max(value * (1 - value), 0.0)))
    quantiles = stats.norm.isf(alpha / 2) * null + stats.norm.isf(1 - power) * other
    return math.ceil(float(quantiles / (value - 0.5)) ** 2)
