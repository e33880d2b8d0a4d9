"""The rule of a challenger in service: each of its ends, at its edge, whenever it is asked."""

import numpy as np
import pytest
from scipy import stats

from genarm.config import CanaryConfig
from genarm.evaluation.canary import standing, too_many, unfit
from genarm.types import Responses

FINE = Responses(given=100)


def rule(**changes) -> CanaryConfig:
    return CanaryConfig(dimension="kind", **changes)


def test_it_goes_on_until_something_is_shown():
    none = standing({}, Responses(), rule())
    assert none.outcome is None and str(none.win_rate) == "0.50 [0.00, 1.00] n=0"
    open_ = standing({1.0: 8}, FINE, rule())
    assert open_.outcome is None and open_.win_rate.interval[0] < 0.5
    assert open_.reason.startswith("win rate 1.00 [0.4") and "of at most 2000" in open_.reason


def test_nine_wins_in_a_row_promote_at_one_in_a_hundred_and_not_at_a_larger_gain():
    """(2^10 - 1) / 10 = 102.3 >= 100; see the test of betting."""
    assert standing({1.0: 9}, FINE, rule()).outcome == "promote"
    assert standing({1.0: 9}, FINE, rule(min_gain=0.02)).outcome is None
    assert standing({1.0: 9}, FINE, rule(alpha=0.009)).outcome is None
    assert standing({1.0: 9, 0.5: 300}, FINE, rule()).outcome == "promote", "ties say nothing of 1/2"


def test_six_losses_in_a_row_are_harm_at_one_in_twenty_and_within_a_margin_not():
    """(2^7 - 1) / 7 = 18.1 < 20 <= (2^8 - 1) / 8 = 31.9."""
    assert standing({0.0: 6}, FINE, rule()).outcome is None
    harm = standing({0.0: 7}, FINE, rule())
    assert harm.outcome == "reject" and "shown to be below 0.5" in harm.reason
    assert standing({0.0: 7}, FINE, rule(margin=0.1)).outcome is None


def test_undecided_it_ends_and_not_before():
    even = {1.0: 50, 0.0: 50}
    assert standing(even, FINE, rule(max_outcomes=101)).outcome is None
    held = standing(even, FINE, rule(max_outcomes=100))
    assert held.outcome == "hold" and "undecided after 100 outcomes" in held.reason
    assert standing({1.0: 80, 0.0: 20}, FINE, rule(max_outcomes=100)).outcome == "promote"


def test_failures_stop_it_whatever_it_wins():
    """Against a share of 1/50 a failure makes 1 + 49 c of a stake, two in a row 1 + 49 + 49^2 / 3 = 850; the
    stop asks 1000. A third makes it in any case."""
    assert not unfit(Responses(2, 2), rule()) and unfit(Responses(3, 3), rule())
    assert not unfit(Responses(500, 8), rule()) and unfit(Responses(100, 15), rule())
    ended = standing({1.0: 50}, Responses(20, 10), rule())
    assert ended.outcome == "reject" and ended.reason.startswith("10 of 20 responses failed")
    loops = standing({1.0: 50}, Responses(40, 0, 20), rule())
    assert loops.outcome == "reject" and "exceed a limit of KL" in loops.reason


def test_a_share_of_failures_that_is_allowed_stops_it_as_seldom_as_is_said():
    """200 servers with a true share of 1/50, each looked at after every one of 300 responses."""
    rng, wrong = np.random.default_rng(3), 0
    failed = rng.random((200, 300)) < 0.02
    for row in failed:
        at = np.flatnonzero(row) + 1
        wrong += any(too_many(i + 1, int(n), 0.02, 0.02) for i, n in enumerate(at))
    assert wrong <= stats.binom.ppf(0.999, 200, 0.02)


@pytest.mark.parametrize("value", [{"share": 0}, {"share": 1}, {"alpha": 0.5}, {"margin": -0.1}])
def test_what_makes_no_sense_is_refused(value):
    with pytest.raises(ValueError, match=next(iter(value))):
        rule(**value)


def test_responses_of_several_servers_add_up():
    assert Responses(3, 1, 0) + Responses(4, 0, 2) == Responses(7, 1, 2)
