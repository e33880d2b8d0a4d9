"""Means over training seeds and prompts with intervals and p-values that know how few the seeds are.

Every method answers the same prompts, with models trained with several seeds. A mean over both is uncertain
because other prompts might have been asked and other seeds trained with:

    half width^2 = (half width over prompts)^2 + sum over rows (t(S - 1) * error over the row's seeds)^2

Prompts are many, so they are drawn with replacement. Seeds are two or three, and drawn from so few they would
differ less than others do; so their error is that of the jackknife, deviation / sqrt(S) for a mean, and it is
multiplied by Student's t with S - 1 degrees of freedom. The noise of single responses is in both parts, which
errs to the safe side. With one seed nothing is known about others, and the interval is over prompts alone.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats

from genarm.evaluation.win_rate import wilson
from genarm.types import Estimate

RESAMPLES = 4000
CONFIDENCE = 0.95
LEAST_P = 1e-200
Array = NDArray[np.float64]
Number = Callable[[Mapping[str, Array]], Array]  # means by row, of all draws at once, to a number


@dataclass(frozen=True, slots=True)
class Sampled:
    """A number, draws of it with other prompts [k], and (standard error, S - 1) by each row's seeds."""

    value: float
    sample: Array
    seeds: tuple[tuple[float, int], ...] = ()

    def interval(self, confidence: float = CONFIDENCE) -> tuple[float, float]:
        """The percentile interval over prompts, widened by what the seeds add."""
        return widened(*interval(self.sample, confidence), self.seeds, confidence)

    def over_seeds(self, confidence: float = CONFIDENCE) -> float:
        """The half width that seeds alone would give."""
        return over_seeds(self.seeds, confidence)

    def minus(self, other: "Sampled") -> "Sampled":
        """The difference of two numbers that were drawn with the same prompts, and by seeds of their own."""
        return Sampled(self.value - other.value, self.sample - other.sample, (*self.seeds, *other.seeds))

    def estimate(self, n: int, confidence: float = CONFIDENCE) -> Estimate:
        """The number with its interval and the prompts behind it."""
        return Estimate(self.value, self.interval(confidence), n)


def sampled(values: Mapping[str, Array], of: Number, *, resamples: int = RESAMPLES, seed: int = 0) -> Sampled:
    """A number that is made of the means of several rows' values [s, p], drawn with the same prompts for all.

    Prompts are paired, since all rows answered the same; seeds are those of different models, and are not.
    """
    means = {row: np.array([float(np.nanmean(array))]) for row, array in values.items()}
    seeds = []
    for row, array in values.items():
        there = array[~np.isnan(array).all(axis=1)]
        if len(there) > 1:
            without = np.array([np.nanmean(np.delete(there, i, axis=0)) for i in range(len(there))])
            others = {name: np.repeat(mean_of, len(there)) for name, mean_of in means.items()}
            seeds.append(jackknife(of(others | {row: without})))
    return Sampled(float(of(means)[0]), of(draws(values, resamples, seed)), tuple(seeds))


def widened(
    low: float, high: float, seeds: Sequence[tuple[float, int]], confidence: float = CONFIDENCE
) -> tuple[float, float]:
    """An interval over prompts, widened at both ends by (standard error, S - 1) of each row's seeds."""
    over_prompts = (high - low) / 2
    wider = math.hypot(over_prompts, over_seeds(seeds, confidence)) - over_prompts
    return low - wider, high + wider


def over_seeds(seeds: Sequence[tuple[float, int]], confidence: float = CONFIDENCE) -> float:
    """The half width that seeds alone would give: Student's t times their errors."""
    tail = (1 - confidence) / 2
    return math.hypot(*(float(stats.t.isf(tail, freedom)) * error for error, freedom in seeds))


def jackknife(without: Array) -> tuple[float, int]:
    """The standard error by values [S] of which each lacks one seed, and its degrees of freedom, S - 1."""
    n = len(without)
    return math.sqrt((n - 1) / n * float(((without - without.mean()) ** 2).sum())), n - 1


def draws(values: Mapping[str, Array], resamples: int = RESAMPLES, seed: int = 0) -> dict[str, Array]:
    """Means [k] of several rows' values [s, p] over all their seeds, with the same prompts drawn for all.

    NaN stands for what could not be read, and is left out of the mean.
    """
    (prompts,) = {array.shape[1] for array in values.values()}
    counts, found = _counts(prompts, resamples, seed), {}
    for row, array in values.items():
        there = ~np.isnan(array)
        total, number = counts @ np.where(there, array, 0.0).sum(0), counts @ there.sum(0)
        found[row] = np.divide(total, number, out=np.full(resamples, np.nan), where=number > 0)
    return found


@lru_cache(maxsize=4)
def _counts(prompts: int, resamples: int, seed: int) -> Array:
    """How often each prompt is drawn [k, p]."""
    random = np.random.default_rng(seed)
    return random.multinomial(prompts, np.full(prompts, 1 / prompts), size=resamples).astype(np.float64)


def mean(values: Array, confidence: float = CONFIDENCE) -> Estimate:
    """The mean of values [s, p] with its interval; n are the prompts with any value."""
    n = int((~np.isnan(values)).any(axis=0).sum())
    if n == 0:
        return Estimate(math.nan, (math.nan, math.nan), 0)
    return of_mean(values).estimate(n, confidence)


def of_mean(values: Array) -> Sampled:
    """The mean of values [s, p] and what it varies by."""
    return sampled({"": values}, lambda means: means[""])


def rate(outcomes: Array, confidence: float = CONFIDENCE) -> Estimate:
    """The same of outcomes in [0, 1]; where all are alike, Wilson's interval over prompts."""
    found = mean(outcomes, confidence)
    if found.n and np.nanmax(outcomes) == np.nanmin(outcomes):
        z = float(stats.norm.isf((1 - confidence) / 2))
        return Estimate(found.value, wilson(found.value, found.n, z), found.n)
    low, high = found.interval
    return Estimate(found.value, (max(low, 0.0), min(high, 1.0)), found.n)


def interval(sample: Array, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """The central interval of a bootstrap sample; of nothing but NaN, NaN."""
    sample = sample[~np.isnan(sample)]
    if not len(sample):
        return math.nan, math.nan
    low, high = np.quantile(sample, ((1 - confidence) / 2, (1 + confidence) / 2))
    return float(low), float(high)


def p_value(outcomes: Array) -> float:
    """Two-sided p of a mean outcome that is not 1/2.

    The error over prompts is that of outcomes that spread about 1/2, which is larger than about their mean m
    by (m - 1/2)^2 / n: nearly equal outcomes would else be called certain, few of them as well as many.
    """
    n = int((~np.isnan(outcomes)).any(axis=0).sum())
    if n == 0:
        return 1.0
    found = of_mean(outcomes)
    distance = abs(found.value - 0.5)
    over_prompts = math.hypot(float(np.nanstd(found.sample)), distance / math.sqrt(n))
    return 2 * one_sided(distance, over_prompts, found.seeds)


def one_sided(distance: float, over_prompts: float, seeds: Sequence[tuple[float, int]]) -> float:
    """P that a number lies so far above its null: the tail at which half the interval is as wide.

    distance^2 = (z error over prompts)^2 + sum (t(S - 1) error over seeds)^2, solved for the tail of z and t.
    """
    if distance <= 0:
        return 0.5 if distance == 0 else 1 - one_sided(-distance, over_prompts, seeds)
    seeds = [(error, freedom) for error, freedom in seeds if error > 0]
    if not seeds:
        return float(stats.norm.sf(distance / over_prompts)) if over_prompts else 0.0

    def wider(tail: float) -> float:
        parts = (float(stats.t.isf(tail, freedom)) * error for error, freedom in seeds)
        return math.hypot(float(stats.norm.isf(tail)) * over_prompts, *parts) - distance

    if wider(LEAST_P) <= 0:
        return LEAST_P
    # Over log(tail): p-values of some 1e-30 are told apart, too.
    return math.exp(
        float(optimize.brentq(lambda x: wider(math.exp(x)), math.log(LEAST_P), math.log(0.5), xtol=1e-9))
    )


def spread_of_prompts(outcomes: Array) -> float:
    """The standard deviation between prompts of the mean over seeds: what more prompts make smaller."""
    if outcomes.shape[1] < 2:
        return math.nan
    return float(np.nanstd(by_prompt(outcomes), ddof=1))


def spread_of_seeds(outcomes: Array) -> float:
    """The standard deviation between seeds that no number of prompts makes smaller; 0 for one seed.

    That of the means over prompts, less what the noise of single responses gives them: sqrt(A - E / P), with
    E the mean square of what is left after the means of seeds and prompts are taken off.
    """
    there = outcomes[:, ~np.isnan(outcomes).any(axis=0)]
    seeds, prompts = there.shape
    if seeds < 2 or prompts < 2:
        return 0.0
    left = there - there.mean(0) - there.mean(1, keepdims=True) + there.mean()
    noise = float((left**2).sum()) / ((seeds - 1) * (prompts - 1))
    return math.sqrt(max(0.0, float(there.mean(1).var(ddof=1)) - noise / prompts))


def by_prompt(outcomes: Array) -> Array:
    """The mean over seeds of each prompt [p]; NaN where nothing could be read."""
    there = (~np.isnan(outcomes)).sum(0)
    found: Array = np.full(outcomes.shape[1], np.nan)
    np.divide(np.nansum(outcomes, axis=0), there, out=found, where=there > 0)
    return found


def matrix(
    rows: Sequence[tuple[int, str, float | None]], seeds: Sequence[int], prompts: Sequence[str]
) -> Array:
    """Values (seed, prompt, value) as [s, p], in the order of `seeds` and `prompts`; NaN where none is."""
    found = np.full((len(seeds), len(prompts)), np.nan)
    seed_at = {seed: i for i, seed in enumerate(seeds)}
    prompt_at = {prompt: i for i, prompt in enumerate(prompts)}
    for seed, prompt, value in rows:
        if value is not None and prompt in prompt_at:
            found[seed_at[seed], prompt_at[prompt]] = value
    return found
