"""What margins say, worked by hand: accuracy, calibration, and both by length."""

import math

import numpy as np
import pytest
import torch

from genarm.training.margins import (
    accuracy,
    brier_score,
    calibration_error,
    implicit_measures,
    strata,
    sum_measures,
)

LOG3 = math.log(3)  # sigmoid(log 3) = 3/4
# Longer chosen twice, shorter once, equal once.
PARTS = strata(np.array([[5, 3], [9, 2], [1, 4], [2, 2]]))


def test_implicit_measures_ask_what_training_changed():
    """Gains of +3, -1, 0 and +1 nats: two of four right and a tie, although no margin is above 1."""
    start, now = torch.tensor([-5.0, 2.0, 1.0, -9.0]), torch.tensor([-2.0, 1.0, 1.0, -8.0])
    measured = implicit_measures(now, start, 1.0, PARTS)
    assert measured["implicit_accuracy"] == 0.625 and measured["implicit_margin"] == 0.75
    assert measured["implicit_accuracy_longer_chosen"] == 0.5
    assert measured["implicit_accuracy_shorter_chosen"] == 0.5
    assert measured["implicit_accuracy_equal_length"] == 1.0
    assert implicit_measures(start, start, 1.0, PARTS)["implicit_accuracy"] == 0.5
    by_sum = sum_measures(now, 1.0, PARTS)
    assert (by_sum["accuracy_longer_chosen"], by_sum["accuracy_shorter_chosen"]) == (0.5, 1.0)
    assert by_sum["accuracy_equal_length"] == 0.0


def test_calibration_by_hand():
    """beta 1/2 and margins +-2 log 3: q is 3/4 three times and 1/4 once, so three of four are right of 3/4.

    Brier: (3 (1/4)^2 + (3/4)^2) / 4 = 3/16. All have the confidence 3/4, as often as they are right.
    """
    margins = torch.tensor([2 * LOG3, 2 * LOG3, 2 * LOG3, -2 * LOG3])
    assert brier_score(margins, 0.5) == pytest.approx(3 / 16)
    assert calibration_error(margins, 0.5) == pytest.approx(0, abs=1e-7)
    # All right: 1/4 less sure than it may be. Two bins, of which one is off by 1/4: half of that.
    assert calibration_error(margins.abs(), 0.5) == pytest.approx(1 / 4)
    two = torch.tensor([2 * LOG3, 2 * LOG3, 0.0, 0.0])
    assert calibration_error(two, 0.5) == pytest.approx(1 / 8)
    # Gaps in two bins do not make up for each other: 0.98 sure and wrong, 3/4 sure and right.
    apart = torch.tensor([-2 * math.log(49), 2 * LOG3])
    assert calibration_error(apart, 0.5) == pytest.approx((0.98 + 0.25) / 2)


def test_a_part_without_pairs_is_left_out_and_what_is_no_number_stays_none():
    only_longer = strata(np.array([[5, 3], [9, 2]]))
    assert "accuracy_equal_length" not in sum_measures(torch.tensor([1.0, 2.0]), 1.0, only_longer)
    broken = torch.tensor([float("nan"), 2.0])
    assert math.isnan(accuracy(broken))
    assert math.isnan(brier_score(broken, 1.0)) and math.isnan(calibration_error(broken, 1.0))
