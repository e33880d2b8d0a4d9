"""Win rates as they would be if both responses were equally long, over training seeds and prompts."""

from dataclasses import replace

import numpy as np
from scipy.special import expit

from genarm.evaluation.length_control import fit, length_controlled
from genarm.experiments.resampling import Array, by_prompt, jackknife, widened
from genarm.types import Estimate


def controlled(outcomes: Array, longer: Array) -> Estimate | None:
    """`length_controlled` of outcomes [s, p] and how many tokens longer each response is [s, p].

    Its interval is over prompts; as every other one, it is widened by what the seeds add. None where there
    are too few prompts or all differences are 0.
    """
    found = length_controlled(*_means(outcomes, longer))
    if found is None or len(outcomes) < 2:
        return found
    without = [_value(np.delete(outcomes, i, 0), np.delete(longer, i, 0)) for i in range(len(outcomes))]
    return replace(found, interval=_within(*widened(*found.interval, [jackknife(np.array(without))])))


def _means(outcomes: Array, longer: Array) -> tuple[list[float], list[float]]:
    """The means over seeds of the prompts that have an outcome."""
    won, length = by_prompt(outcomes), by_prompt(longer)
    there = ~(np.isnan(won) | np.isnan(length))
    return won[there].tolist(), length[there].tolist()


def _value(outcomes: Array, longer: Array) -> float:
    """What `length_controlled` gives, without its interval."""
    won, length = (np.array(values) for values in _means(outcomes, longer))
    spread = float(np.sqrt(np.mean(length**2))) or 1.0
    theta = fit(won, np.tanh(length / spread), np.ones((1, len(won))))[0, 0]
    return float(expit(theta))


def _within(low: float, high: float) -> tuple[float, float]:
    return max(low, 0.0), min(high, 1.0)
