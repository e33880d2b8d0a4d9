"""Betting against a mean: its first steps by hand, published numbers, how often it is wrong when watched."""

import numpy as np
import pytest
from scipy import integrate, stats

from genarm.evaluation.betting import counted, exceeds, log_capital, lower_bound, turned, upper_bound


def capital(wins: int, losses: int, ties: int = 0, mean: float = 0.5) -> float:
    return float(np.exp(log_capital({1.0: wins, 0.0: losses, 0.5: ties}, mean)))


def test_the_first_steps_by_hand():
    """Stakes c are spread evenly over (0, 1). Against 1/2 a win makes 1 + c, a loss 1 - c, a tie 1. So a
    win makes 3/2, two make 1 + 1 + 1/3, a win and a loss 1 - 1/3, one loss 1/2; the midpoints of a grid of
    100 are within 1e-5 of the integral. Against 0.4 a win makes 1 + c (1/0.4 - 1) = 1 + 1.5 c, in the mean
    1.75, and a tie 1 + 0.25 c, in the mean 1.125."""
    assert capital(0, 0) == pytest.approx(1)
    assert capital(1, 0) == pytest.approx(3 / 2)
    assert capital(2, 0) == pytest.approx(7 / 3, abs=2e-5)
    assert capital(1, 1) == pytest.approx(2 / 3, abs=2e-5)
    assert capital(0, 1) == pytest.approx(1 / 2)
    assert capital(2, 1, ties=50) == pytest.approx(capital(2, 1))
    assert capital(1, 0, mean=0.4) == pytest.approx(1.75)
    assert capital(0, 0, ties=1, mean=0.4) == pytest.approx(1.125)


def test_how_many_wins_in_a_row_it_takes():
    """n wins make (2^(n+1) - 1) / (n + 1): 102.3 after nine, 186.1 after ten. So 1/100 takes nine wins."""
    assert capital(9, 0) == pytest.approx((2**10 - 1) / 10, rel=1e-3)
    assert not exceeds({1.0: 8}, 0.5, 0.01) and exceeds({1.0: 9}, 0.5, 0.01)
    assert exceeds(turned({0.0: 9}), 0.5, 0.01)


def test_no_bet_is_expected_to_win_where_the_mean_is_what_it_is_laid_against():
    """E[K_2 | K_1] <= K_1 for outcomes of any kind whose mean is m: here 0, 1/4, 1/2, 1 with mean 0.4."""
    values, chances = np.array([0, 0.25, 0.5, 1]), np.array([0.3, 0.2, 0.3, 0.2])
    assert float(values @ chances) == pytest.approx(0.4)
    for before in ({}, {1.0: 3}, {0.25: 2, 1.0: 1, 0.0: 4}):
        after = [np.exp(log_capital(counted([*_unfold(before), x]), 0.4)) for x in values]
        assert float(chances @ after) == pytest.approx(np.exp(log_capital(before or {0.5: 0}, 0.4)), rel=1e-9)


def _unfold(counts: dict[float, int]) -> list[float]:
    return [x for x, times in counts.items() for _ in range(times)]


def test_capital_is_the_integral_over_stakes():
    """Against a mean of 1/2, stake c makes 1 + c of a win and 1 - c of a loss: the mixture likelihood ratio
    of q = (1 + c) / 2. With both signs of c it is that of a uniform q, which savvi 0.3.1 computes by
    `Multinomial(0.05, theta_0=[0.5, 0.5], k=2)`: odds of 4.87353 after 75 wins and 45 losses, 0.598274 after
    70 and 50, 0.607306 after 200 and 160."""
    exact = integrate.quad(lambda c: (1 + c) ** 70 * (1 - c) ** 50, 0, 1)[0]
    assert capital(70, 50) == pytest.approx(exact, rel=1e-3)
    for wins, losses, published in ((75, 45, 4.87353), (70, 50, 0.598274), (200, 160, 0.607306)):
        assert (capital(wins, losses) + capital(losses, wins)) / 2 == pytest.approx(published, rel=1e-5)


def test_bounds_of_nothing_and_of_everything():
    assert lower_bound({}, 0.05) == lower_bound({0.0: 50}, 0.05) == 0
    assert upper_bound({}, 0.05) == upper_bound({1.0: 50}, 0.05) == 1
    assert 0.9 < lower_bound({1.0: 100}, 0.05) < 1
    low, high = lower_bound({1.0: 60, 0.0: 40}, 0.05), upper_bound({1.0: 60, 0.0: 40}, 0.05)
    assert low < 0.6 < high
    assert (low, high) == pytest.approx(
        (1 - upper_bound({1.0: 40, 0.0: 60}, 0.05), 1 - lower_bound({1.0: 40, 0.0: 60}, 0.05)), abs=1e-9
    )
    with pytest.raises(ValueError, match="an outcome of -1.0 is outside"):
        counted([0.5, -1])


@pytest.mark.parametrize("kind", ["wins and losses", "half ties", "fractions", "drifting"])
def test_looked_at_after_every_outcome_it_is_wrong_at_most_alpha_of_the_time(kind):
    """1,000 runs of 300 outcomes with mean 0.5, or a conditional mean of at most that: the share that ever
    shows "above 0.5" at 0.05. The limit lets a test exactly at alpha fail once in a thousand."""
    rng, runs, most, alpha = np.random.default_rng(7), 1000, 300, 0.05
    drawn = rng.random((runs, most))
    outcomes = np.where(drawn < 0.5, 1.0, 0.0)
    if kind == "half ties":
        outcomes = np.where(drawn < 0.25, 1.0, np.where(drawn < 0.75, 0.5, 0.0))
    if kind == "fractions":
        outcomes = rng.beta(0.7, 0.7, (runs, most))
    if kind == "drifting":  # each block's mean is 0.5 or less, as its past has it
        outcomes = np.where(drawn < np.tile([0.5, 0.5, 0.3, 0.5, 0.45], most // 5), 1.0, 0.0)
    stakes, capitals = (np.arange(100) + 0.5) / 100, np.ones((runs, 100))
    wrong = np.zeros(runs, dtype=bool)
    for n in range(most):
        capitals *= 1 + stakes * (outcomes[:, n, None] / 0.5 - 1)
        wrong |= capitals.mean(axis=1) >= 1 / alpha
    assert 0 < wrong.sum() <= stats.binom.ppf(0.999, runs, alpha)
    last = counted(outcomes[0])
    assert np.log(capitals[0].mean()) == pytest.approx(log_capital(last, 0.5), abs=1e-6)
