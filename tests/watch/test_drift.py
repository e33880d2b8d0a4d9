"""When a champion is told to win too seldom: worked numbers, and how often it happens by chance."""

import math

import numpy as np
import pytest

from genarm.types import Estimate, Message, Prompt
from genarm.watch.drift import is_worse, pooled
from genarm.watch.rejudge import of_night

NIGHTS, PROMPTS = 7, 50
N = NIGHTS * PROMPTS


def test_nights_are_taken_together_by_their_prompts():
    # (10 * 0.2 + 30 * 0.6) / 40 = 0.5; Wilson: +-1.96 sqrt(0.25/40 + 3.8415/6400) / (1 + 3.8415/40)
    found = pooled([Estimate(0.2, (0, 1), 10), Estimate(0.6, (0, 1), 30)])
    half = 1.959964 * math.sqrt(0.25 / 40 + 3.841459 / 6400) / (1 + 3.841459 / 40)
    assert (found.value, found.n) == (0.5, 40)
    assert found.interval == pytest.approx((0.5 - half, 0.5 + half), abs=1e-6)
    assert pooled([Estimate(0.5, (0, 1), 0)]) == Estimate(0.5, (0.0, 1.0), 0)


def test_ten_losses_of_ten_show_it_and_nine_do_not():
    # all lost: the upper bound is z^2 / (n + z^2), with z = 3.0902 at 0.001: 9.5495 / 19.5495 = 0.4885
    assert is_worse(Estimate(0.0, (0, 1), 10), 0.489, 0.001)
    assert not is_worse(Estimate(0.0, (0, 1), 10), 0.488, 0.001)
    assert is_worse(Estimate(0.0, (0, 1), 10), 0.5, 0.001) and not is_worse(
        Estimate(0.0, (0, 1), 9), 0.5, 0.001
    )
    assert not is_worse(Estimate(0.5, (0, 1), 0), 0.5, 0.001)


def told(rate: float, ties: float, alpha: float, years: int) -> tuple[float, float]:
    """In simulated years: the share of nights on which a champion is told, and of years with such a night."""
    rng = np.random.default_rng(14)
    shares = [rate - ties / 2, ties, 1 - rate - ties / 2]
    wins, tied, _ = rng.multinomial(PROMPTS, shares, (years, 365)).transpose(2, 0, 1)
    sums = np.cumsum(np.pad(2 * wins + tied, ((0, 0), (1, 0))), axis=1)
    doubled = sums[:, NIGHTS:] - sums[:, :-NIGHTS]  # twice the wins of each window of nights, ties halved
    most = max(d for d in range(2 * N) if is_worse(Estimate(d / 2 / N, (0, 1), N), 0.5, alpha))
    return float((doubled <= most).mean()), float((doubled <= most).any(axis=1).mean())


@pytest.mark.parametrize("ties", [0.0, 0.4])
@pytest.mark.parametrize("alpha", [0.01, 0.001])
def test_one_that_wins_half_is_told_no_oftener_than_alpha_allows(alpha, ties):
    nights, years = told(0.5, ties, alpha, years=2000)
    error = math.sqrt(alpha * NIGHTS / (2000 * 365))  # windows that overlap are told together
    assert nights <= alpha * 1.05 + 3 * error
    assert years <= 365 * alpha


def test_one_that_still_wins_is_never_told_and_one_that_loses_soon_is():
    assert told(0.56, 0.0, 0.001, years=500)[1] <= 0.005
    assert told(0.40, 0.0, 0.001, years=100)[0] >= 0.7  # of single nights; 5 of 7 nights begin a week well


@pytest.mark.parametrize("others", [0, 300])
def test_no_prompt_comes_twice_within_the_nights_taken_together(others):
    """Also where new data brings other prompts from one night to the next."""
    first = [Prompt((Message("user", f"say {i}"),)) for i in range(900)]
    nights: list[set[str]] = []
    for number in range(20):
        now = first[others * (number % 2) :] if others else first
        asked = of_night(now, number, NIGHTS, PROMPTS)
        assert len(asked) == PROMPTS == len({p.id for p in asked})
        for before in nights[-(NIGHTS - 1) :]:
            assert not before & {p.id for p in asked}
        nights.append({p.id for p in asked})
    assert len(set.union(*nights)) > 500  # later rounds draw others of the same share
    assert of_night(first, 3, NIGHTS, PROMPTS) == of_night(first[::-1], 3, NIGHTS, PROMPTS)
