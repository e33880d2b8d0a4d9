"""The win rate as it would be if both sides were equally long.

Judges tend to prefer the longer text. A logistic model removes that effect:
logit P(left wins) = theta + phi * tanh(d), d the length difference in units of its spread; at d = 0 it gives
sigmoid(theta). The two-term form of AlpacaEval 2 (arXiv 2404.04475), with an interval that refits the model
on resampled prompts, so that the uncertainty of phi is in it.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from genarm.types import Estimate

RESAMPLES = 1000
FEWEST = 20  # prompts; fewer determine two coefficients too loosely
RIDGE = 0.01  # keeps the fit finite where one side, or the longer text, always wins; negligible otherwise
STEPS = 60

Array = NDArray[np.float64]


def length_controlled(outcomes: Sequence[float], longer: Sequence[float]) -> Estimate | None:
    """outcomes in [0, 1] and `left` minus `right` tokens, one a prompt -> sigmoid(theta) with 95% interval.

    None below 20 prompts or where every difference is 0.
    """
    n = len(outcomes)
    spread = float(np.sqrt(np.mean(np.square(longer)))) if n else 0.0
    if n < FEWEST or spread == 0:
        return None
    order = np.lexsort((longer, outcomes))  # the order of files must change nothing
    won = np.asarray(outcomes, dtype=float)[order]
    # Scaled, not centred: 0 has to stay "equally long". tanh bounds what one very long text can do.
    length = np.tanh(np.asarray(longer, dtype=float)[order] / spread)
    drawn = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), size=RESAMPLES)
    theta = fit(won, length, np.vstack([np.ones(n), drawn]))[:, 0]
    rates = expit(theta)
    low, high = np.quantile(rates[1:], (0.025, 0.975))
    return Estimate(float(rates[0]), (float(low), float(high)), n)


def fit(won: Array, length: Array, counts: Array) -> Array:
    """(theta, phi) [k, 2] of k weighted logistic fits at once: won [n], length [n], counts [k, n].

    Newton's method on the log-likelihood minus RIDGE / 2 * (theta^2 + phi^2), steps bounded to 1.
    """
    coefficients = np.zeros((len(counts), 2))  # [k, 2]
    for _ in range(STEPS):
        chance = expit(coefficients[:, :1] + coefficients[:, 1:] * length)  # [k, n]
        residual = counts * (won - chance)
        slope = np.stack([residual.sum(1), residual @ length], axis=1) - RIDGE * coefficients
        weight = counts * chance * (1 - chance)
        a, b, c = weight.sum(1) + RIDGE, weight @ length, weight @ length**2 + RIDGE
        # The 2 x 2 system [[a, b], [b, c]] step = slope, solved by hand for all k.
        step = np.stack([c * slope[:, 0] - b * slope[:, 1], a * slope[:, 1] - b * slope[:, 0]], axis=1)
        step = np.clip(step / (a * c - b * b)[:, None], -1, 1)
        coefficients += step
        if np.abs(step).max() < 1e-10:
            break
    return coefficients
