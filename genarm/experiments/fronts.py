"""Fronts of several points on two or more dimensions: their hypervolume, and who encloses more.

The best points of noisy means look better than they are. So the front is chosen on half of the prompts and
its hypervolume is measured on the other half, then the halves change places, and the two are averaged. So is
the point whose smallest mean is the largest, and that mean.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genarm.experiments.resampling import Sampled, jackknife

RESAMPLES = 1000
BANDS = (2.5, 50.0, 97.5)
Array = NDArray[np.float64]


def hypervolume(points: Array, reference: Array) -> float:
    """The volume that points [n, d] dominate above a reference point [d], where more is better (moocore)."""
    import moocore

    if not len(points):
        return 0.0
    return float(moocore.hypervolume(points, ref=reference, maximise=True))


def on_front(points: Array) -> NDArray[np.bool_]:
    """Whether no other point is as good everywhere and better somewhere, for each of [n, d]."""
    import moocore

    if not len(points):
        return np.zeros(0, dtype=bool)
    return np.asarray(moocore.is_nondominated(points, maximise=True, keep_weakly=True), dtype=bool)


def split_hypervolume(choosing: Array, measuring: Array, reference: Array) -> float:
    """Half the sum of two hypervolumes of means [n, d] on two halves of the prompts.

    The front of each half is measured on the other one.
    """
    one = hypervolume(measuring[on_front(choosing)], reference)
    two = hypervolume(choosing[on_front(measuring)], reference)
    return (one + two) / 2


def split_worst(choosing: Array, measuring: Array) -> float:
    """Half the sum of two smallest means over the dimensions, of means [n, d] on two halves of the prompts.

    The point whose smallest mean is the largest on one half is measured on the other one. NaN without points.
    """
    if not len(choosing):
        return float("nan")
    one = measuring[choosing.min(1).argmax()].min()
    two = choosing[measuring.min(1).argmax()].min()
    return float(one + two) / 2


def volumes(
    scores: Mapping[str, Array], reference: Array, resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, Sampled]:
    """The hypervolume of each method by split halves, and what it varies by; see `split`."""
    return split(scores, partial(split_hypervolume, reference=reference), resamples, seed)


def split(
    scores: Mapping[str, Array],
    of: Callable[[Array, Array], float],
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, Sampled]:
    """A number of each method that is made of its means [n, d] on two halves of the prompts.

    `scores` are [s, n, d, p]: seeds, points, dimensions, prompts, in units that all methods share. Prompts
    are drawn within their half and are the same for all methods; seeds are left out one by one.
    """
    random = np.random.default_rng(seed)
    (prompts,) = {array.shape[-1] for array in scores.values()}
    order = np.random.default_rng(seed + 1).permutation(prompts)
    halves = [np.sort(order[: prompts // 2]), np.sort(order[prompts // 2 :])]
    drawn = [[half[random.integers(len(half), size=len(half))] for half in halves] for _ in range(resamples)]
    found = {}
    for name, array in scores.items():
        whole = array.mean(0)
        seeds: tuple[tuple[float, int], ...] = ()
        if len(array) > 1:
            without = [np.delete(array, i, axis=0).mean(0) for i in range(len(array))]
            seeds = (jackknife(np.array([of(*_halves(means, halves)) for means in without])),)
        sample = np.array([of(*_halves(whole, some)) for some in drawn])
        found[name] = Sampled(of(*_halves(whole, halves)), sample, seeds)
    return found


def _halves(scores: Array, halves: list[NDArray[np.int64]]) -> tuple[Array, Array]:
    """The means [n, d] on each half of the prompts."""
    one, two = (scores[..., half].mean(-1) for half in halves)
    return one, two


def attainment(scores: Array, resamples: int = 200, seed: int = 0) -> dict[float, list[tuple[float, float]]]:
    """Band -> the points that so many per cent of the bootstrapped fronts attain, on two dimensions.

    `scores` are [s, n, 2, p]. A point is attained by a front that has one at least as good on both (moocore).
    Seeds and prompts are drawn; the seeds' deviation is scaled by sqrt(S / (S - 1)), so that their variance
    is not too small.
    """
    import moocore

    if not scores.shape[1]:
        return {band: [] for band in BANDS}
    random = np.random.default_rng(seed)
    points, sets, mean = [], [], scores.mean(0)
    scale = np.sqrt(len(scores) / max(1, len(scores) - 1))
    for i in range(resamples):
        prompts = random.integers(scores.shape[-1], size=scores.shape[-1])
        seeds = random.integers(len(scores), size=len(scores))
        drawn = (mean + scale * (scores[seeds].mean(0) - mean))[..., prompts].mean(-1)  # [n, 2]
        front = drawn[on_front(drawn)]
        points.append(-front)  # moocore's attainment is of what is to be small
        sets.append(np.full(len(front), i + 1))
    surface: Any = moocore.eaf(np.concatenate(points), np.concatenate(sets), percentiles=BANDS)
    return {
        band: sorted((float(-x), float(-y)) for x, y, level in surface if abs(level - band) < 1e-6)
        for band in BANDS
    }
