"""The mean of outcomes in [0, 1], with bounds that hold at every look: a test and confidence by betting.

Against "the mean is at most m" a gambler stakes the share c of his capital on every outcome x, and has

    K_n(m) = prod_i (1 + lambda (x_i - m)),   lambda = c / m, c in (0, 1)

which is never negative and expected to be at most what it was, whatever came before: the capital process of
Waudby-Smith and Ramdas (arXiv 2010.09686), here for constant bets. The mean of K_n(m) over a grid of c is one
as well, their diversified Kelly bettor, and needs no guess of how large the difference is. By Ville's
inequality it ever reaches 1 / alpha with a chance of at most alpha. So it may be looked at after every
outcome and ended at any of them:

    lower bound   the largest m at which K_n(m) >= 1 / alpha
    upper bound   one minus the lower bound of 1 - x

each above, or below, the true mean at any look with a chance of at most its alpha. Outcomes need not be
independent: it is enough that each is expected to be at most m, given those before it. A tie is 1/2, and
changes nothing at m = 1/2. The order does not count, so outcomes may be kept as counts.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping

import numpy as np
from scipy.special import logsumexp

STAKES = (np.arange(100) + 0.5) / 100
PRECISION = 1e-4  # of a bound

Counts = Mapping[float, int]  # outcome in [0, 1] -> how often it came


def counted(outcomes: Iterable[float]) -> Counter[float]:
    """How often each outcome came. Raises ValueError for one outside [0, 1]."""
    counts = Counter(float(x) for x in outcomes)
    if wrong := next((x for x in counts if not 0 <= x <= 1), None):
        raise ValueError(f"an outcome of {wrong} is outside [0, 1]")
    return counts


def turned(counts: Counts) -> Counter[float]:
    """The same outcomes from the other side: 1 - x."""
    return Counter({1 - x: n for x, n in counts.items()})


def log_capital(counts: Counts, mean: float) -> float:
    """log of what betting against "the mean is at most `mean`", in (0, 1), has made of a capital of 1."""
    values, times = np.array(list(counts.keys()), float), np.array(list(counts.values()), float)
    gains = times @ np.log1p(STAKES * (values[:, None] / mean - 1))  # [stakes]
    return float(logsumexp(gains) - np.log(len(STAKES)))


def exceeds(counts: Counts, mean: float, alpha: float) -> bool:
    """Whether the outcomes show that their mean is above `mean`; falsely, at any look, at most `alpha`."""
    return log_capital(counts, mean) >= -math.log(alpha)


def lower_bound(counts: Counts, alpha: float) -> float:
    """Above the mean, at whatever look, with a chance of at most `alpha`; to 1e-4."""
    low, high = 0.0, 1.0
    while high - low > PRECISION:
        middle = (low + high) / 2
        low, high = (middle, high) if exceeds(counts, middle, alpha) else (low, middle)
    return low


def upper_bound(counts: Counts, alpha: float) -> float:
    """Below the mean, at whatever look, with a chance of at most `alpha`; to 1e-4."""
    return 1 - lower_bound(turned(counts), alpha)
