"""Means over training seeds and prompts with intervals, by resampling both.

Every method answers the same prompts, with models trained with several seeds. A mean over both is uncertain
because other prompts might have been asked and other seeds trained with, so both are drawn with replacement,
independently of each other (the pigeonhole bootstrap: Owen, Annals of Applied Statistics 2007). The variance
between S seeds is thereby estimated too small, by (S - 1) / S, and the noise of single responses is counted
more than once, which errs to the safe side. With one seed this is the bootstrap over prompts.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from genarm.evaluation.win_rate import wilson
from genarm.types import Estimate

RESAMPLES = 4000
CONFIDENCE = 0.95
Array = NDArray[np.float64]


def draws(values: Mapping[str, Array], resamples: int = RESAMPLES, seed: int = 0) -> dict[str, Array]:
    """Means [resamples] of several methods' values [s, p], drawn with the same prompts for all.

    Prompts are paired, since all methods answered the same; the seeds of two methods are drawn apart, since
    they trained different models. NaN stands for what could not be read, and is left out of the mean.
    """
    random = np.random.default_rng(seed)
    (prompts,) = {matrix.shape[1] for matrix in values.values()}
    counts = random.multinomial(prompts, np.full(prompts, 1 / prompts), size=resamples)  # [k, p]
    found = {}
    for name, matrix in values.items():
        seeds = len(matrix)
        drawn = random.multinomial(seeds, np.full(seeds, 1 / seeds), size=resamples)  # [k, s]
        there = ~np.isnan(matrix)
        total = ((drawn @ np.where(there, matrix, 0.0)) * counts).sum(1)
        number = ((drawn @ there.astype(float)) * counts).sum(1)
        found[name] = np.divide(total, number, out=np.full(resamples, np.nan), where=number > 0)
    return found


def mean(values: Array, confidence: float = CONFIDENCE) -> Estimate:
    """The mean of values [s, p] with its percentile interval; n are the prompts with any value."""
    n = int((~np.isnan(values)).any(axis=0).sum())
    if n == 0:
        return Estimate(math.nan, (math.nan, math.nan), 0)
    return Estimate(float(np.nanmean(values)), interval(draws({"": values})[""], confidence), n)


def rate(outcomes: Array, confidence: float = CONFIDENCE) -> Estimate:
    """The same of outcomes in [0, 1]; where all are alike, Wilson's interval over prompts."""
    found = mean(outcomes, confidence)
    if found.n and np.nanmax(outcomes) == np.nanmin(outcomes):
        z = float(stats.norm.isf((1 - confidence) / 2))
        return Estimate(found.value, wilson(found.value, found.n, z), found.n)
    return found


def interval(sample: Array, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """The central interval of a bootstrap sample; of nothing but NaN, NaN."""
    sample = sample[~np.isnan(sample)]
    if not len(sample):
        return math.nan, math.nan
    low, high = np.quantile(sample, ((1 - confidence) / 2, (1 + confidence) / 2))
    return float(low), float(high)


def error(outcomes: Array) -> float:
    """The standard error of a win rate: of the bootstrap, and of a fair coin where all outcomes are alike."""
    n = int((~np.isnan(outcomes)).any(axis=0).sum())
    if n == 0:
        return math.inf
    spread = float(np.nanstd(draws({"": outcomes})[""]))
    return spread if spread > 0 else 0.5 / math.sqrt(n)


def p_value(outcomes: Array) -> float:
    """Two-sided p of a mean outcome that is not 1/2, by the normal approximation.

    The error is that of outcomes that spread about 1/2, which is larger than about their mean m by
    (m - 1/2)^2 / n: nearly equal outcomes would else be called certain, few of them as well as many.
    """
    n = int((~np.isnan(outcomes)).any(axis=0).sum())
    if n == 0:
        return 1.0
    distance = abs(float(np.nanmean(outcomes)) - 0.5)
    under_null = math.hypot(float(np.nanstd(draws({"": outcomes})[""])), distance / math.sqrt(n))
    return float(2 * stats.norm.sf(distance / under_null)) if distance else 1.0


def spread_of_prompts(outcomes: Array) -> float:
    """The standard deviation between prompts of the mean over seeds: what more prompts make smaller."""
    if outcomes.shape[1] < 2:
        return math.nan
    return float(np.nanstd(by_prompt(outcomes), ddof=1))


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
