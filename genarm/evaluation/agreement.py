"""How far a judge agrees with people: arithmetic over pairs that were judged in both orders.

Only numbers pass through here. A pair is oriented by what people preferred, so that 1 is agreement.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from genarm.evaluation.win_rate import CONFIDENCE, RESAMPLES, TIE, Z_TWO_SIDED, estimate, wilson
from genarm.types import Agreement, Estimate

BLOCK = 200  # resamples drawn at once, so that many prompts fit into memory


@dataclass(frozen=True, slots=True)
class Reading:
    """What a judge said of one pair in both orders, as `genarm.judges.statistics.Games` sums them up.

    `preference` is the one for what people chose, in [-1, 1], None where it could not be read; `consistent`
    says whether both orders agree. `firsts` has 1 for each order that prefers the response shown first, 0 for
    the second, 1/2 for a tie. `longer` is the length of the chosen response minus that of the rejected one,
    in characters.
    """

    prompt: str
    preference: float | None
    consistent: bool | None
    firsts: Sequence[float]
    longer: int


def agreement(file: str, sha256: str, readings: Sequence[Reading]) -> Agreement:
    """All that is measured of one judge on the pairs of one file."""
    read = [(r, p) for r in readings if (p := r.preference) is not None]
    accuracy, se = by_prompt([(r.prompt, (1 + p) / 2) for r, p in read])
    firsts = [first for r in readings for first in r.firsts]
    return Agreement(
        file=file,
        sha256=sha256,
        accuracy=accuracy,
        se=se,
        prompts=len({r.prompt for r, _ in read}),
        unread=len(readings) - len(read),
        ties=_share(abs(p) <= TIE for _, p in read),
        consistency=_share(bool(r.consistent) for r, _ in read),
        first=_share(firsts),
        longer=_prefers_longer(read),
        length_correlation=_correlation(read),
    )


def by_prompt(outcomes: Sequence[tuple[str, float]]) -> tuple[Estimate, float]:
    """Mean of (prompt, outcome in [0, 1]) over the pairs, with 95% interval and standard error.

    Where every prompt stands once, the interval is that of a win rate. Where prompts repeat, their pairs are
    no independent observations: prompts are resampled with all of their pairs, with a fixed seed.
    """
    sums: dict[str, float] = {}
    counts: dict[str, int] = {}
    for prompt, outcome in outcomes:
        sums[prompt] = sums.get(prompt, 0.0) + outcome
        counts[prompt] = counts.get(prompt, 0) + 1
    values = [outcome for _, outcome in outcomes]
    n = len(values)
    if n == len(sums):
        return estimate(values), float(np.std(values) / math.sqrt(n)) if n else 0.0
    order = sorted(sums)
    total, size = np.array([sums[p] for p in order]), np.array([counts[p] for p in order])
    mean = float(total.sum() / n)
    rates = _resampled(total, size)
    if np.ptp(rates) == 0:  # all the same: a bootstrap interval would have no width
        return Estimate(mean, wilson(mean, len(order), Z_TWO_SIDED), n), 0.0
    low, high = np.quantile(rates, ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2))
    return Estimate(mean, (float(low), float(high)), n), float(np.std(rates))


def _resampled(total: NDArray[np.float64], size: NDArray[np.int64]) -> NDArray[np.float64]:
    random, k = np.random.default_rng(0), len(size)
    rates = []
    for _ in range(0, RESAMPLES, BLOCK):
        drawn = random.multinomial(k, np.full(k, 1 / k), size=BLOCK)
        rates.append((drawn @ total) / (drawn @ size))
    return np.concatenate(rates)


def _prefers_longer(read: Sequence[tuple[Reading, float]]) -> float | None:
    """Share of the pairs of unequal length in which the longer response is preferred, a tie 1/2."""
    unequal = [(1 + _sign(p) * _sign(r.longer)) / 2 for r, p in read if r.longer]
    return _share(unequal) if unequal else None


def _correlation(read: Sequence[tuple[Reading, float]]) -> float | None:
    """Spearman's correlation of preference and difference in length.

    Each pair enters in both directions, so that it does not matter which response people chose.
    """
    lengths = [x for r, _ in read for x in (r.longer, -r.longer)]
    said = [x for _, p in read for x in (p, -p)]
    if len(set(lengths)) < 2 or len(set(said)) < 2:
        return None
    return float(stats.spearmanr(lengths, said).statistic)


def _share(values: Iterable[float]) -> float:
    found = list(values)
    return math.fsum(found) / len(found) if found else 0.0


def _sign(x: float) -> int:
    return (x > TIE) - (x < -TIE)
