"""The least value that meets a constraint, by lower bounds that hold for all values together.

A weight is taken because its measured value is high enough, so the best of several would be trusted too much.
The bounds are therefore simultaneous (Bonferroni): of k values each has the confidence 1 - (1 - c) / k, and
with a chance of at least c no bound lies above its true value. Whatever is taken then meets the threshold.
A rate has Wilson's one-sided bound, a mean score that of the bootstrap-t.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy import stats

from genarm.errors import DataError
from genarm.evaluation.condition import MAX_UNREAD, unread_too_often
from genarm.evaluation.win_rate import wilson
from genarm.experiments.resampling import RESAMPLES, mean
from genarm.experiments.row_config import ConstraintConfig
from genarm.experiments.tuned import Chosen, Tried
from genarm.judges import Judge
from genarm.judges.base import ScoreJudge
from genarm.types import Comparison, Estimate, Prompt, Response


def measured(
    tried: Tried,
    given: ConstraintConfig,
    number: int,
    judged: Comparison,
    prompts: Sequence[Prompt],
    found: Sequence[Response],
    judge: Judge,
) -> Tried:
    """What the constraint measures at one of its values, with its bound, added to what was measured anyway.

    Raises DataError where scores are asked of a judge that only compares.
    """
    level = 1 - (1 - given.confidence) / len(given.values)
    faults = list(tried.faults)
    if given.measure == "score":
        if not isinstance(judge, ScoreJudge):
            raise DataError(
                f"the gold judge of {given.dimension} compares and gives no score, which constrain measures",
                hint="constrain: {measure: win_rate}",
            )
        scores = [judge.score(p, r.text) for p, r in zip(prompts, found, strict=True)]
        reached, bound = mean(np.array([scores])), bound_of_scores(scores, level)
    else:
        reached, bound = judged.win_rate, bound_of_rate(judged.win_rate, level)
        if unread_too_often(judged.win_rate.n, judged.unread):
            asked = judged.win_rate.n + judged.unread
            faults.append(
                f"{judged.unread} of {asked} verdicts could not be read, more than {MAX_UNREAD:.0%}"
            )
    return replace(tried, value=given.values[number], reached=reached, bound=bound, faults=faults)


def bound_of_rate(rate: Estimate, level: float) -> float:
    """Wilson's one-sided lower bound of a mean of outcomes in [0, 1], at a confidence."""
    return wilson(rate.value, rate.n, float(stats.norm.ppf(level)))[0]


def bound_of_scores(scores: Sequence[float], level: float) -> float:
    """mean - q sd / sqrt(n), q being a quantile of the resampled means' t; minus infinity of one score.

    (Bootstrap-t: Hall, Annals of Statistics 1988) Scores such as minus the number of words have a long tail
    below, for which Student's t would set the bound too high.
    """
    x, n = np.asarray(scores, dtype=float), len(scores)
    if n < 2:
        return -math.inf
    if not np.ptp(x):
        return float(x[0])
    x = (x - x.mean()) / x.std(ddof=1)
    counts = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), size=RESAMPLES)
    means = counts @ x / n
    variances = np.maximum((counts @ (x * x) / n - means**2) * n / (n - 1), 1e-12)
    q = float(np.quantile(means / np.sqrt(variances / n), level))
    return float(np.mean(scores)) - q * float(np.std(scores, ddof=1)) / math.sqrt(n)


def least(row: str, curve: Sequence[Tried], given: ConstraintConfig) -> Chosen:
    """The least value whose bound reaches the threshold and whose text keeps the limits of tuning.

    Raises DataError with all that was tried where there is none.
    """
    for tried in curve:
        if not tried.faults and tried.bound is not None and tried.bound >= given.at_least:
            return Chosen(tried.settings, True, curve, value=tried.value)
    seen = "; ".join(_seen(tried, given) for tried in curve)
    raise DataError(
        f"{row}: no {given.varied} of {given.dimension} is shown to have a {named(given)} of at least "
        f"{given.at_least:g} on validation prompts: {seen}",
        hint=f"try larger values in methods.{row}.constrain.{given.varied}, more tuning.prompts, or a lower "
        "threshold",
    )


def named(given: ConstraintConfig) -> str:
    """What a constraint measures, in words."""
    return "win rate" if given.measure == "win_rate" else "score"


def _seen(tried: Tried, given: ConstraintConfig) -> str:
    told = f"{tried.value:g}: {tried.reached}, lower bound {tried.bound:.3g}"
    return f"{told} ({', '.join(tried.faults)})" if tried.faults else told
