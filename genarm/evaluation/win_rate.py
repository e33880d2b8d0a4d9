"""Verdicts to win rates: each with its interval, its counts and an exact test.

Only numbers and strings pass through here: no judge, no model, no file. The unit is the prompt. Several
verdicts on one prompt are averaged first, so that resampling prompts resamples whole clusters.
"""

import math
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from scipy import stats

from genarm.errors import DataError
from genarm.types import Comparison, Estimate, Verdict

RESAMPLES = 4000
CONFIDENCE = 0.95
Z_TWO_SIDED = float(stats.norm.isf((1 - CONFIDENCE) / 2))  # of intervals; bounds of the rule are one-sided
TIE = 1e-9  # a mean preference nearer to 0 is a tie: 0.1 + 0.2 - 0.3 is not 0 in floating point


def win_rate(verdicts: Sequence[Verdict]) -> Comparison:
    """Mean over prompts of (1 + preference) / 2: win 1, tie 1/2, loss 0, with its 95% interval.

    The interval is Wilson's where every outcome is 0 or 1, else a bootstrap over prompts with a fixed seed.
    wins + ties + losses = n; `unread` counts the prompts without a readable verdict, which are not in n.
    Nothing read gives 0.5 [0, 1] n=0. Raises DataError on verdicts of more than one comparison.
    """
    kinds = {(v.dimension, v.left, v.right, v.held_out) for v in verdicts}
    if len(kinds) != 1:
        raise DataError(
            f"a win rate is of one comparison, these verdicts are of {len(kinds)}: {sorted(kinds)}",
            hint="group the verdicts by dimension, left, right and judge",
        )
    [(dimension, left, right, held_out)] = kinds
    preferences = preferences_by_prompt(verdicts)
    wins = sum(p > TIE for p in preferences.values())
    losses = sum(p < -TIE for p in preferences.values())
    return Comparison(
        dimension=dimension,
        left=left,
        right=right,
        win_rate=estimate([(1 + p) / 2 for p in preferences.values()]),
        wins=wins,
        ties=len(preferences) - wins - losses,
        losses=losses,
        unread=len({v.prompt_id for v in verdicts}) - len(preferences),
        p_value=sign_test(wins, losses),
        held_out=held_out,
    )


def sign_test(wins: int, losses: int) -> float:
    """P(at least `wins` heads in wins + losses tosses of a fair coin); 1 where nothing is discordant.

    Exact, one-sided, ties dropped. 9 wins and 1 loss give (10 + 1) / 1024.
    """
    if wins + losses == 0:
        return 1.0
    return float(stats.binomtest(wins, wins + losses, alternative="greater").pvalue)


def wilson(value: float, n: int, z: float) -> tuple[float, float]:
    """Wilson's score interval of a mean of outcomes in [0, 1], z standard errors to either side.

    (value + z^2/2n -+ z sqrt(value (1 - value) / n + z^2/4n^2)) / (1 + z^2/n). It assumes the variance
    m (1 - m), the largest that a mean of m allows, so with ties and fractions it is wider than necessary,
    never narrower. [0, 1] where n = 0. (Wilson 1927)
    """
    if n == 0:
        return 0.0, 1.0
    centre = value + z * z / (2 * n)
    half = z * math.sqrt(value * (1 - value) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    # Rounding may put the end that should be 0 or 1 a hair inside.
    low = 0.0 if value == 0 else (centre - half) / scale
    return low, 1.0 if value == 1 else (centre + half) / scale


def preferences_by_prompt(verdicts: Sequence[Verdict]) -> dict[str, float]:
    """Prompt id -> mean of the preferences that could be read; prompts in the order of their ids.

    Raises DataError for a preference outside [-1, 1].
    """
    read: dict[str, list[float]] = defaultdict(list)
    for verdict in verdicts:
        if verdict.preference is None:
            continue
        if not -1 <= verdict.preference <= 1:
            raise DataError(
                f"prompt {verdict.prompt_id}: a preference of {verdict.preference} is outside [-1, 1]",
                hint="a judge answers 1 for left, -1 for right, 0 for a tie, None where it could not be read",
            )
        read[verdict.prompt_id].append(verdict.preference)
    return {prompt: math.fsum(read[prompt]) / len(read[prompt]) for prompt in sorted(read)}


def estimate(outcomes: Sequence[float]) -> Estimate:
    """The mean of outcomes in [0, 1], one a prompt, with its 95% interval: Wilson's, or by bootstrap."""
    values = np.sort(np.asarray(outcomes, dtype=float))  # sorted: the order of files must change nothing
    n = len(values)
    value = float(values.mean()) if n else 0.5
    # Outcomes that are all the same would give a bootstrap interval of no width.
    if n == 0 or np.isin(values, (0, 1)).all() or np.ptp(values) == 0:
        return Estimate(value, wilson(value, n, Z_TWO_SIDED), n)
    resampled = stats.bootstrap(
        (values,),
        np.mean,
        n_resamples=RESAMPLES,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(0),
    )
    low, high = resampled.confidence_interval
    return Estimate(value, (float(low), float(high)), n)
