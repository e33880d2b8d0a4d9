"""Hypervolumes by split halves and attained surfaces."""

import numpy as np
import pytest

from genarm.experiments.fronts import attainment, hypervolume, on_front, split_hypervolume, volumes

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
        split.append(volumes({"a": scores}, REFERENCE, resamples=1, seed=seed)["a"][0])
        chosen_and_measured.append(hypervolume(scores[..., :30].mean((0, -1)), REFERENCE))
    assert 1.2 < np.mean(split) < 1.45
    assert np.mean(chosen_and_measured) - 1 > 1.7 * (np.mean(split) - 1)


def test_a_difference_is_paired_over_prompts():
    """The same points a tenth better: every draw says so, though either volume alone is uncertain."""
    scores = np.random.default_rng(0).standard_normal((1, 3, 2, 80))
    found = volumes({"a": scores, "b": scores + 0.1}, REFERENCE, resamples=100)
    difference = found["b"][1] - found["a"][1]
    assert difference.min() > 0
    assert found["a"][1].std() > 3 * difference.std()


def test_what_half_of_the_fronts_attain():
    """Without noise all fronts are the same, so every band is that front."""
    scores = np.repeat(np.array([[0.0, 1.0], [1.0, 0.0]])[None, :, :, None], 10, axis=3)
    bands = attainment(scores, resamples=20)
    assert set(bands) == {2.5, 50.0, 97.5}
    assert bands[50.0] == [(0.0, 1.0), (1.0, 0.0)]
