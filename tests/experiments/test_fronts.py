"""Hypervolumes by split halves and attained surfaces."""

import numpy as np
import pytest

from genarm.experiments.fronts import (
    attainment,
    hypervolume,
    on_front,
    split,
    split_hypervolume,
    split_worst,
    volumes,
)

REFERENCE = np.array([-1.0, -1.0])


def test_the_volume_above_the_reference_point():
    """(0, 1) and (1, 0) above (-1, -1): two rectangles of 1 x 2 and 2 x 1 that share 1 x 1, so 3."""
    points = np.array([[0.0, 1.0], [1.0, 0.0], [-0.5, -0.5]])
    assert hypervolume(points, REFERENCE) == pytest.approx(3)
    assert on_front(points).tolist() == [True, True, False]


def test_the_front_of_one_half_is_measured_on_the_other():
    """(1, 1) is best on one half and (0, 0) on the other: each is measured where it is not best.

    Chosen on the first half (1, 1), which is (-1, -1) on the second: 0. Chosen on the second (0, 0), which is
    (0, 0) on the first: 1. Their mean is 0.5, where the means of all would give 1.
    """
    first, second = np.array([[1.0, 1.0], [0.0, 0.0]]), np.array([[-1.0, -1.0], [0.0, 0.0]])
    assert split_hypervolume(first, second, REFERENCE) == pytest.approx(0.5)


def test_noise_makes_a_front_less_larger_than_it_would():
    """Eleven points that are all the base, whose volume is 1: what is too much is halved, but not nothing."""
    random = np.random.default_rng(0)
    split, chosen_and_measured = [], []
    for seed in range(20):
        scores = random.standard_normal((1, 11, 2, 60))
        split.append(volumes({"a": scores}, REFERENCE, resamples=1, seed=seed)["a"].value)
        chosen_and_measured.append(hypervolume(scores[..., :30].mean((0, -1)), REFERENCE))
    assert 1.2 < np.mean(split) < 1.45
    assert np.mean(chosen_and_measured) - 1 > 1.7 * (np.mean(split) - 1)


def test_a_difference_is_paired_over_prompts():
    """The same points a tenth better: every draw says so, though either volume alone is uncertain."""
    scores = np.random.default_rng(0).standard_normal((1, 3, 2, 80))
    found = volumes({"a": scores, "b": scores + 0.1}, REFERENCE, resamples=100)
    difference = found["b"].minus(found["a"])
    assert difference.interval()[0] > 0
    assert found["a"].sample.std() > 3 * difference.sample.std()


def test_the_best_worst_dimension_is_measured_where_it_was_not_chosen():
    """Best on the first half is (3, 2), which is (1, 5) on the second; there (2, 2) is best, here (1, 4)."""
    first, second = np.array([[3.0, 2.0], [1.0, 4.0]]), np.array([[1.0, 5.0], [2.0, 2.0]])
    assert split_worst(first, second) == pytest.approx((1 + 1) / 2)
    scores = np.random.default_rng(0).standard_normal((1, 11, 2, 400))
    found = split({"a": scores}, split_worst, resamples=200)["a"]
    low, high = found.interval()
    assert low < found.value < high
    assert found.value < scores.mean((0, -1)).min(1).max(), "the maximum of the means is chosen for its noise"


def test_seeds_that_differ_widen_the_interval_of_a_front():
    """Three seeds 0.3 apart shift all points; two prompts a half would be as certain by prompts alone."""
    points = np.array([[0.0, 1.0], [1.0, 0.0]])
    scores = np.repeat((points + np.array([-0.3, 0.0, 0.3])[:, None, None])[..., None], 8, axis=-1)
    found = volumes({"a": scores}, REFERENCE, resamples=50)["a"]
    assert np.ptp(found.sample) == pytest.approx(0)
    low, high = found.interval()
    assert low < found.value < high
    assert found.value == pytest.approx(3) and len(found.seeds) == 1


def test_what_half_of_the_fronts_attain():
    """Without noise all fronts are the same, so every band is that front."""
    scores = np.repeat(np.array([[0.0, 1.0], [1.0, 0.0]])[None, :, :, None], 10, axis=3)
    bands = attainment(scores, resamples=20)
    assert set(bands) == {2.5, 50.0, 97.5}
    assert bands[50.0] == [(0.0, 1.0), (1.0, 0.0)]
