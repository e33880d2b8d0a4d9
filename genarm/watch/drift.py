"""Whether a champion still beats the base: several nights taken together, and what they show."""

from collections.abc import Sequence
from statistics import NormalDist

from genarm.evaluation.win_rate import Z_TWO_SIDED, wilson
from genarm.types import Estimate


def pooled(nights: Sequence[Estimate]) -> Estimate:
    """The win rate over all prompts of some nights, with its 95% interval, which is Wilson's.

    value = sum_i n_i value_i / sum_i n_i. Each prompt counts once, so no two of these nights may share one.
    Nothing read gives 0.5 [0, 1] n=0.
    """
    n = sum(night.n for night in nights)
    value = sum(night.value * night.n for night in nights) / n if n else 0.5
    return Estimate(value, wilson(value, n, Z_TWO_SIDED), n)


def is_worse(rate: Estimate, at_least: float, alpha: float) -> bool:
    """Whether a win rate is shown to be under `at_least`: its one-sided upper bound at 1 - alpha is lower.

    The bound is Wilson's, which with ties is wider than necessary.
    """
    return wilson(rate.value, rate.n, NormalDist().inv_cdf(1 - alpha))[1] < at_least
