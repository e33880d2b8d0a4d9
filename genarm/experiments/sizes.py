"""Equivalence by two one-sided tests, and how many prompts a claim needs."""

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

from genarm.experiments.resampling import Array, error, rate
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

    (Schuirmann 1987) The tests take the standard error of the bootstrap over seeds and prompts.
    """
    value, spread = float(np.nanmean(outcomes)), error(outcomes)
    above = float(stats.norm.sf((value - (0.5 - margin)) / spread))
    below = float(stats.norm.cdf((value - (0.5 + margin)) / spread))
    return Equivalence(rate(outcomes, 1 - 2 * alpha), max(above, below), margin)


def needed_for_equivalence(
    margin: float, spread: float = 0.5, alpha: float = 0.05, power: float = POWER
) -> int:
    """Prompts that show two equal methods to be equivalent: (z_(1-alpha) + z_(1-beta/2))^2 sd^2 / margin^2.

    `spread` is the standard deviation of an outcome, 0.5 without ties. With margin 0.07 these are 437.
    """
    spread = spread if spread > 0 else 0.5  # of outcomes that are all alike nothing is known
    quantiles = stats.norm.isf(alpha) + stats.norm.isf((1 - power) / 2)
    return math.ceil(float(quantiles * spread / margin) ** 2)


def power_of_equivalence(prompts: int, margin: float, alpha: float = 0.05, spread: float = 0.5) -> float:
    """The chance that two equal methods are found so: 2 Phi(margin sqrt(n) / sd - z_(1-alpha)) - 1."""
    distance = margin * math.sqrt(prompts) / spread - float(stats.norm.isf(alpha))
    return max(0.0, 2 * float(stats.norm.cdf(distance)) - 1)


def needed_for_difference(value: float, alpha: float = 0.05, power: float = POWER) -> int | None:
    """Prompts that tell a win rate from 1/2, two-sided; None for 1/2 itself, which none would.

    ((z_(1-alpha/2) / 2 + z_(power) sqrt(r (1 - r))) / (r - 1/2))^2: with 0.55 these are 783.
    """
    if value == 0.5 or math.isnan(value):
        return None
    spread = math.sqrt(max(value * (1 - value), 0.0))
    quantiles = stats.norm.isf(alpha / 2) * 0.5 + stats.norm.isf(1 - power) * spread
    return math.ceil(float(quantiles / (value - 0.5)) ** 2)
