"""What may be said of a comparison however often it was looked at, and whenever it is stopped.

The win. Take the prompts in an order that was fixed beforehand, and of them those that were not ties. S_n is
wins minus losses among the first n. If wins are no more likely than losses, S is at best a fair random walk,
so the chance that it reaches c n^(1/4) within `most` prompts is known exactly, whatever the share of ties:

    p = P(some n <= most has S_n >= c n^(1/4)),   c = the largest S_n / n^(1/4) seen so far

`c` never falls and the sets are nested, so P(p <= u at any look) <= u: an always-valid p-value, up to `most`
prompts. It is the sign test with the group-sequential boundary of Wang and Tsiatis (Biometrics 43, 1987;
Delta = 1/4), taken after every prompt, so that looks may lie anywhere. At our sizes it finds more than a
betting martingale, which would also hold without `most` (600 prompts, alpha 0.01, win rate 0.55: power 0.51
against 0.29). So `most` has to be chosen before the first look.

The guard. The lower bound is that of `betting`, which takes any outcomes in [0, 1], ties included.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from genarm.evaluation.betting import counted, lower_bound
from genarm.types import Looked

EXPONENT = (
    0.25  # of the boundary; 0 is O'Brien and Fleming's, which stops late, 1/2 Pocock's, which finds less
)
GUARD_ALPHA = 0.05  # one-sided, as the bounds of a single look
ROUNDING = 1e-9

Array = NDArray[np.float64]


def looked(preferences: Sequence[float], looks: int, most: int) -> Looked:
    """p-value and lower bound of preferences in [-1, 1], in the order in which the prompts are taken."""
    lower = lower_bound(counted((1 + x) / 2 for x in preferences), GUARD_ALPHA)
    return Looked(p_value(preferences, most), lower, looks, most)


def p_value(preferences: Sequence[float], most: int) -> float:
    """The always-valid one-sided p-value of "left wins more often than it loses"; ties are left out.

    Raises ValueError where more than `most` preferences are given: the test does not allow for them.
    """
    if len(preferences) > most:
        raise ValueError(f"{len(preferences)} preferences, but the test allows for {most}")
    values = np.asarray(preferences, dtype=float)
    return crossing(highest(np.sign(values[np.abs(values) > ROUNDING])), most)


def highest(signs: Array) -> float:
    """The largest S_n / n^(1/4) along one walk of steps 1 and -1; minus infinity for an empty one."""
    scaled = np.cumsum(signs) / np.arange(1, len(signs) + 1) ** EXPONENT
    return float(scaled.max(initial=-np.inf))


@lru_cache(maxsize=256)
def crossing(c: float, most: int, exponent: float = EXPONENT, every: int = 1) -> float:
    """P(a fair walk has S_n >= c n^exponent at some n <= most that `every` divides); exact, by recursion."""
    if c <= 0:
        return 1.0
    position = np.arange(-most, most + 1)
    chance = np.zeros(2 * most + 1)
    chance[most] = 1
    crossed = 0.0
    for n in range(1, most + 1):
        moved = np.zeros_like(chance)
        moved[1:] += chance[:-1] / 2
        moved[:-1] += chance[1:] / 2
        chance = moved
        if n % every == 0:
            beyond = int(np.searchsorted(position, c * n**exponent - ROUNDING))
            crossed += float(chance[beyond:].sum())
            chance[beyond:] = 0
    return min(1.0, crossed)


def boundary(alpha: float, most: int) -> float:
    """The least c, to 1e-6, that is reached with a chance below alpha: `p < alpha` where it was reached."""
    low, high = 0.0, float(most)
    while high - low > 1e-6:
        middle = (low + high) / 2
        low, high = (low, middle) if crossing(middle, most) < alpha else (middle, high)
    return high
