"""Win rates: numbers worked by hand, and intervals against scipy."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest import approx
from scipy import stats
from verdict_rows import verdicts

from genarm.errors import DataError
from genarm.evaluation.win_rate import sign_test, wilson, win_rate

PREFERENCES = st.sampled_from([-1.0, -0.5, 0.0, 0.25, 1.0, None])


def test_ties_count_half_and_the_unread_not_at_all():
    """2 wins, 1 tie, 1 loss, 1 unread: (2 + 1/2) / 4; three discordant, P(>= 2 heads of 3) = 4/8."""
    found = win_rate(verdicts(1, 1, 0, -1, None))
    assert (found.wins, found.ties, found.losses, found.unread) == (2, 1, 1, 1)
    assert found.unread_bounds == (2.5 / 5, 3.5 / 5)  # the unread one as a loss, as a win
    assert (found.win_rate.value, found.win_rate.n, found.p_value) == (0.625, 4, 0.5)


def test_the_sign_test_is_exact():
    assert sign_test(9, 1) == 11 / 1024
    assert sign_test(1, 9) == 1023 / 1024
    assert sign_test(0, 0) == 1


def test_verdicts_on_one_prompt_are_averaged_before_they_are_counted():
    """+1 and -1 make one tie, not a win and a loss; 0.1 + 0.2 - 0.3 is a tie though not 0 in floats; one
    that could not be read leaves the other."""
    both = [
        replace(v, prompt_id=name)
        for name, v in zip("aabbbcc", verdicts(1, -1, 0.1, 0.2, -0.3, 1, None), strict=True)
    ]
    found = win_rate(both)
    assert (found.wins, found.ties, found.losses, found.unread, found.win_rate.n) == (1, 2, 0, 0, 3)
    assert found.win_rate.value == approx((0.5 + 0.5 + 1) / 3)


def test_wilson_by_hand():
    """8 of 10 at z = 2: (0.8 + 0.2 -+ 2 sqrt(0.016 + 0.01)) / 1.4."""
    half = 2 * math.sqrt(0.026)
    assert wilson(0.8, 10, 2) == approx(((1 - half) / 1.4, (1 + half) / 1.4))
    assert wilson(1.0, 10, 2) == approx((1 / 1.4, 1.0))
    assert wilson(0.5, 0, 2) == (0, 1)


def test_without_ties_the_interval_is_wilsons():
    found = win_rate(verdicts(*[1] * 70, *[-1] * 30)).win_rate
    expected = stats.binomtest(70, 100).proportion_ci(method="wilson")
    assert found.interval == approx((expected.low, expected.high))


def test_with_ties_the_interval_is_a_bootstrap_near_the_normal_one():
    """60 wins, 20 ties, 20 losses: mean 0.7, variance (60 * .09 + 20 * .04 + 20 * .49) / 100 = 0.16."""
    found = win_rate(verdicts(*[1] * 60, *[0] * 20, *[-1] * 20)).win_rate
    half = 1.96 * math.sqrt(0.16 / 100)
    assert found.interval == approx((0.7 - half, 0.7 + half), abs=0.01)


def test_outcomes_that_are_all_alike_still_leave_doubt():
    assert win_rate(verdicts(*[0] * 10)).win_rate.interval == approx(wilson(0.5, 10, 1.96), abs=1e-4)
    nothing = win_rate(verdicts(None, None))
    assert (nothing.win_rate.interval, nothing.win_rate.n, nothing.unread, nothing.p_value) == (
        (0, 1),
        0,
        2,
        1,
    )


@given(st.lists(PREFERENCES, min_size=1, max_size=12), st.randoms())
def test_counts_add_up_and_neither_order_nor_the_side_named_first_matters(preferences, random):
    rows = verdicts(*preferences)
    found = win_rate(rows)
    assert found.wins + found.ties + found.losses == found.win_rate.n == len(rows) - found.unread
    assert found.win_rate.interval[0] <= found.win_rate.value <= found.win_rate.interval[1]
    turned = win_rate([replace(v, preference=None if v.preference is None else -v.preference) for v in rows])
    assert turned.win_rate.value == approx(1 - found.win_rate.value)
    assert (turned.wins, turned.losses) == (found.losses, found.wins)
    random.shuffle(rows)
    assert win_rate(rows) == found


def test_a_win_rate_refuses_mixed_and_impossible_verdicts():
    with pytest.raises(DataError, match="of 2"):
        win_rate(verdicts(1) + verdicts(1, dimension="positive"))
    with pytest.raises(DataError, match="p000: a preference of 2 is outside"):
        win_rate(verdicts(2))
