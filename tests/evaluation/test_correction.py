"""The corrected win rate: by hand, against the equation that Fieller's ends solve, and by simulation."""

import math

import numpy as np
import pytest

from genarm.evaluation.correction import corrected, fieller
from genarm.evaluation.win_rate import Z_TWO_SIDED, estimate
from genarm.types import Estimate

PEOPLE = Estimate(0.8, (0.76, 0.84), 400)
SE = math.sqrt(0.8 * 0.2 / 400)


def test_the_rate_by_hand():
    """p 0.68, a 0.8: (0.68 + 0.8 - 1) / (1.6 - 1) = 0.8. Forwards, 0.8 * 0.8 + 0.2 * 0.2 = 0.68."""
    found = corrected([1.0] * 68 + [0.0] * 32, PEOPLE, SE)
    assert found is not None and found.value == pytest.approx(0.8) and found.n == 100


def test_ties_and_graded_verdicts_enter_by_their_mean():
    won = corrected([1.0] * 60 + [0.5] * 16 + [0.0] * 24, PEOPLE, SE)
    assert won is not None and won.value == pytest.approx(0.8)


def test_a_rate_beyond_the_judges_reach_is_clipped():
    found = corrected([1.0] * 95 + [0.0] * 5, PEOPLE, SE)
    assert found is not None and (found.value, found.interval[1]) == (1, 1)


def test_a_perfect_judge_leaves_the_rate_as_it_is():
    outcomes = [1.0] * 70 + [0.0] * 30
    found, raw = corrected(outcomes, Estimate(1.0, (0.999, 1), 100_000), 0.0), estimate(outcomes)
    assert found is not None and found.value == pytest.approx(0.7)
    assert found.interval == pytest.approx(raw.interval, abs=0.01)


def test_it_is_undefined_where_the_judge_is_not_shown_to_agree():
    for people in (Estimate(0.52, (0.48, 0.56), 600), Estimate(0.3, (0.26, 0.34), 600)):
        assert corrected([1.0, 0.0], people, 0.02) is None
    assert corrected([], PEOPLE, SE) is None
    assert fieller(0.6, 0.001, 0.52, 0.02**2) is None, "2 a - 1 may be 0: the interval has no ends"


def test_fiellers_ends_solve_the_equation_and_near_the_delta_method():
    """(x - u y)^2 = z^2 (var x + u^2 var y); with small errors half the width is z times the delta method's
    sqrt(var p + (1 - 2 theta)^2 var a) / (2 a - 1): here sqrt(1e-6 + 0.36 * 4e-6) / 0.6."""
    ends = fieller(0.68, 1e-6, 0.8, 4e-6)
    assert ends is not None
    for end in ends:
        u = 2 * end - 1
        assert (0.36 - u * 0.6) ** 2 == pytest.approx(Z_TWO_SIDED**2 * (4e-6 + u**2 * 16e-6))
    assert (ends[1] - ends[0]) / 2 == pytest.approx(
        Z_TWO_SIDED * math.sqrt(1e-6 + 0.36 * 4e-6) / 0.6, rel=1e-3
    )


@pytest.mark.parametrize("theta", [0.5, 0.7, 0.95])
@pytest.mark.parametrize("agreement", [0.65, 0.8, 0.95])
def test_the_interval_covers_the_rate_that_people_see(theta, agreement):
    """120 prompts, 400 pairs that people judged; both samples are drawn anew each time."""
    random, n, m, covered = np.random.default_rng(1), 120, 400, []
    seen = theta * agreement + (1 - theta) * (1 - agreement)
    for wins, agreed in zip(random.binomial(n, seen, 2000), random.binomial(m, agreement, 2000), strict=True):
        a = agreed / m
        found = corrected(
            [1.0] * wins + [0.0] * (n - wins),
            Estimate(a, (a - 0.05, a + 0.05), m),
            math.sqrt(a * (1 - a) / m),
        )
        assert found is not None
        covered.append(found.interval[0] <= theta <= found.interval[1])
    assert 0.93 <= np.mean(covered) <= 0.985
