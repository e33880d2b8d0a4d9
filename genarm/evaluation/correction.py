"""The win rate corrected for the judge's errors, with an interval from both samples.

A judge errs. With sensitivity q1 and specificity q0, measured on pairs that people judged, a rate p that it
reports stands for theta = (p + q0 - 1) / (q0 + q1 - 1) (Rogan and Gladen 1978; for judges arXiv 2511.21140).
Of two responses either may stand first, and a judge that is asked in both orders, or compares scores, gives
the opposite verdict where they change places. So q0 = q1 = a, its agreement with people, and

    theta = (p + a - 1) / (2 a - 1),    or, with u = 2 theta - 1:    u = (2 p - 1) / (2 a - 1).

Ties and graded verdicts enter p and a alike, a tie as one half: the expectation of an outcome is linear in
them, so the formula holds unchanged. A pair on which people are undecided counts one half in theta.

u is a ratio of two independent means, and Fieller's theorem gives its interval: all u for which
(2 p - 1) - u (2 a - 1) is within z standard errors of 0. The paper's interval is for q0 and q1 from separate
samples, with errors that average out; here both are one number, so its error weighs (1 - 2 theta)^2. As in
the paper p and a are first drawn towards 1/2 a little, by z^2 and by 2 observations, so that a rate of 0 or 1
has an error, too. The correction assumes that the judge errs on the evaluation prompts as often as on
the pairs that it was checked on.
"""

import math
from collections.abc import Sequence

from genarm.evaluation.win_rate import Z_TWO_SIDED
from genarm.types import Estimate


def corrected(outcomes: Sequence[float], agreement: Estimate, se: float) -> Estimate | None:
    """theta with its 95% interval, clipped to [0, 1]: outcomes in [0, 1], one a prompt, and the agreement.

    `se` is the agreement's standard error. None without outcomes, and where the agreement is not shown to
    exceed 1/2: near q0 + q1 = 1 theta is undefined, and any win rate would be compatible with the verdicts.
    """
    n, m = len(outcomes), agreement.n
    if n == 0 or m == 0 or agreement.interval[0] <= 0.5:
        return None
    theta = (math.fsum(outcomes) / n + agreement.value - 1) / (2 * agreement.value - 1)
    interval = fieller(*_drawn_in(outcomes), *_agreement(agreement.value, m, se))
    if interval is None:
        return None
    low, high = (min(1.0, max(0.0, end)) for end in interval)
    return Estimate(min(1.0, max(0.0, theta)), (low, high), n)


def fieller(p: float, variance_p: float, a: float, variance_a: float) -> tuple[float, float] | None:
    """The ends of the 95% interval of theta, not clipped; None where 2 a - 1 may be 0, and it has no ends.

    With x = 2 p - 1 and y = 2 a - 1 they solve (x - u y)^2 = z^2 (var x + u^2 var y) for u = 2 theta - 1.
    """
    x, y = 2 * p - 1, 2 * a - 1
    of_x, of_y = 4 * Z_TWO_SIDED**2 * variance_p, 4 * Z_TWO_SIDED**2 * variance_a
    square = y * y - of_y
    if square <= 0:
        return None
    root = math.sqrt(max(0.0, x * x * of_y + y * y * of_x - of_x * of_y))
    return (1 + (x * y - root) / square) / 2, (1 + (x * y + root) / square) / 2


def _drawn_in(outcomes: Sequence[float]) -> tuple[float, float]:
    """Mean and its variance with z^2 / 2 wins and as many losses added (Agresti and Coull 1998)."""
    added, n = Z_TWO_SIDED**2 / 2, len(outcomes) + Z_TWO_SIDED**2
    mean = (math.fsum(outcomes) + added) / n
    squares = math.fsum((x - mean) ** 2 for x in outcomes) + added * (mean**2 + (1 - mean) ** 2)
    return mean, squares / n**2


def _agreement(value: float, m: int, se: float) -> tuple[float, float]:
    """Agreement and its variance with one success and one failure added, not below the binomial one."""
    mean = (m * value + 1) / (m + 2)
    return mean, max(se**2, mean * (1 - mean) / (m + 2))
