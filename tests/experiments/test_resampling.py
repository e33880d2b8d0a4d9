"""Intervals over seeds and prompts, equivalence, and how many prompts a claim needs."""

import numpy as np
import pytest
from scipy import stats

from genarm.evaluation.length_control import length_controlled
from genarm.experiments.controlled import _value, controlled
from genarm.experiments.resampling import (
    draws,
    interval,
    jackknife,
    matrix,
    mean,
    of_mean,
    p_value,
    rate,
    sampled,
    spread_of_seeds,
)
from genarm.experiments.sizes import Spread, needed_for_difference, needed_for_equivalence, spread, tost

NAN = float("nan")


def made(random, seeds: int, prompts: int, *, of_seed: float, of_prompt: float, noise: float):
    """Values [s, p] with mean 0: an effect of the seed, one of the prompt, and noise."""
    return (
        of_seed * random.standard_normal((seeds, 1))
        + of_prompt * random.standard_normal((1, prompts))
        + noise * random.standard_normal((seeds, prompts))
    )


def coverage(seeds: int, **of) -> float:
    """How often the 95% interval holds the true mean, over 200 experiments."""
    random, held = np.random.default_rng(5), 0
    for _ in range(200):
        values = made(random, seeds, 60, **of)
        found = sampled({"": values}, lambda means: means[""], resamples=400)
        low, high = found.interval()
        held += low <= 0 <= high
    return held / 200


def test_the_interval_holds_the_mean_as_often_as_it_says():
    """Without an effect of the seed 95%, and more where noise is counted twice."""
    assert coverage(1, of_seed=0, of_prompt=1, noise=1) == pytest.approx(0.95, abs=0.04)
    assert coverage(3, of_seed=0, of_prompt=1, noise=1) >= 0.93


def test_prompts_alone_would_be_too_sure_where_seeds_differ():
    """Three seeds that differ: an interval over prompts holds the mean in less than half of all cases."""
    both = coverage(3, of_seed=1, of_prompt=1, noise=1)
    random, held = np.random.default_rng(5), 0
    for number in range(200):
        values = made(random, 3, 60, of_seed=1, of_prompt=1, noise=1)
        sample = draws({"": values.mean(0, keepdims=True)}, resamples=400, seed=number)[""]
        low, high = interval(sample)
        held += low <= 0 <= high
    assert held / 200 < 0.5
    assert both == pytest.approx(0.95, abs=0.04)


def test_prompts_are_paired():
    """Two methods that differ by a constant differ by it in every draw."""
    values = np.random.default_rng(0).standard_normal((1, 50))
    sample = draws({"one": values, "two": values + 0.5})
    assert np.allclose(sample["two"] - sample["one"], 0.5)


def test_what_could_not_be_read_is_left_out():
    outcomes = matrix([(0, "a", 1.0), (0, "b", None), (1, "a", 0.0), (1, "b", 1.0)], [0, 1], ["a", "b", "c"])
    assert np.isnan(outcomes[:, 2]).all()
    found = mean(outcomes)
    assert (found.value, found.n) == (pytest.approx(2 / 3), 2)


def test_where_all_win_the_interval_is_wilsons():
    """12 of 12: 12 / (12 + 3.8415)."""
    found = rate(np.ones((2, 12)))
    assert found.interval == (pytest.approx(0.7575, abs=1e-3), 1.0)
    assert p_value(np.ones((1, 12))) == pytest.approx(2 * stats.norm.sf(0.5 / (0.5 / 12**0.5)))
    assert p_value(np.full((1, 12), 0.5)) == 1.0
    assert p_value(np.full((1, 12), NAN)) == 1.0


def test_nearly_all_wins_are_no_more_certain_than_all():
    """39 of 40 by the spread about its own mean would have p = 2e-80; the sign test has 7e-11."""
    wins = np.ones((1, 40))
    wins[0, 3] = 0.0
    assert p_value(np.ones((1, 40))) < p_value(wins) < 1e-7


def test_fair_coins_are_seldom_found_unfair():
    """At 5%, of 400 experiments with 12 prompts: at most 28 with a chance of 0.98 where the rate holds."""
    coins = np.random.default_rng(5).integers(0, 2, size=(400, 1, 12)).astype(float)
    assert sum(p_value(outcomes) < 0.05 for outcomes in coins) <= 28


@pytest.mark.parametrize("deviation", [0.0, 0.05, 0.15])
def test_three_seeds_that_differ_find_no_difference_that_is_not_there(deviation):
    """At 5%, of 400 experiments with 100 prompts: at most 28 with a chance of 0.98 where the rate holds.

    Three trainings with win rates of mean 1/2 and some deviation. With the quantile of the normal
    distribution and the spread of the three, 0.15 would be taken for a difference in 80 of them.
    """
    random, found, naive = np.random.default_rng(7), 0, 0
    for _ in range(400):
        rates = 0.5 + deviation * random.standard_normal((3, 1))
        outcomes = (random.random((3, 100)) < rates).astype(float)
        found += p_value(outcomes) < 0.05
        error = outcomes.mean(1).std() / 3**0.5 if deviation else 1.0
        naive += abs(outcomes.mean() - 0.5) > 1.96 * np.hypot(error, 0.5 / 300**0.5)
    assert found <= 28
    if deviation == 0.15:
        assert naive > 60


def test_seeds_widen_an_interval_by_students_t():
    """Seeds with means 0.4, 0.5, 0.6 and no difference between prompts: 0.1 / sqrt(3) * t_2 = 4.3027."""
    values = np.repeat(np.array([[0.4], [0.5], [0.6]]), 20, axis=1)
    assert of_mean(values).seeds == ((pytest.approx(0.1 / 3**0.5), 2),)
    assert mean(values).interval == pytest.approx((0.5 - 0.24842, 0.5 + 0.24842), abs=1e-4)
    assert jackknife(np.array([0.55, 0.5, 0.45])) == (pytest.approx(0.1 / 3**0.5), 2)


def test_interval_and_p_value_agree_on_several_seeds():
    """The p of a mean that is as far from 1/2 as its interval is wide is 5%; the null's spread adds to it."""
    outcomes = (np.random.default_rng(2).random((3, 200)) < 0.5).astype(float)
    found = of_mean(outcomes)
    low, high = found.interval()
    shifted = outcomes + 0.5 - outcomes.mean() + (high - low) / 2
    assert p_value(shifted) == pytest.approx(0.05, abs=0.006)


def test_seeds_that_differ_are_told_from_noise():
    """Coins of 0.4, 0.5 and 0.6 deviate by 0.1 whatever the prompts; the same coin hardly does."""
    random = np.random.default_rng(0)
    differ = (random.random((3, 4000)) < np.array([[0.4], [0.5], [0.6]])).astype(float)
    assert spread_of_seeds(differ) == pytest.approx(0.1, abs=0.02)
    assert spread_of_seeds((random.random((3, 4000)) < 0.5).astype(float)) < 0.02
    assert spread_of_seeds(differ[:1]) == 0.0
    of = spread(differ, 0.05)
    assert needed_for_equivalence(0.07, of) is None  # 2.92 * 0.1 / sqrt(3) = 0.17 is left
    assert needed_for_difference(0.6, of=of) is None
    assert needed_for_difference(0.6, of=Spread(0.5)) == 197  # (1.96 + 0.8416)^2 * 0.25 / 0.01


def test_length_controlled_rates_know_the_seeds():
    """With one seed as `length_controlled` has them; three that differ are as uncertain as their mean."""
    random = np.random.default_rng(3)
    longer = random.integers(-9, 10, size=(3, 60)).astype(float)
    outcomes = (random.random((3, 60)) < np.array([[0.3], [0.5], [0.7]])).astype(float)
    alone = controlled(outcomes[:1], longer[:1])
    assert alone == length_controlled(outcomes[0].tolist(), longer[0].tolist())
    assert _value(outcomes[:1], longer[:1]) == pytest.approx(alone.value, abs=1e-9)
    low, high = controlled(outcomes, longer).interval
    raw_low, raw_high = rate(outcomes).interval
    assert high - low == pytest.approx(raw_high - raw_low, rel=0.1)


def test_how_many_prompts():
    """The numbers of the design: 0.55 needs 783, 0.60 194, 0.65 85; margins 0.10 215 and 0.07 437."""
    assert [needed_for_difference(r) for r in (0.55, 0.6, 0.65)] == [783, 194, 85]
    assert needed_for_difference(0.45) == 783
    assert needed_for_difference(0.5) is None
    assert [needed_for_equivalence(m) for m in (0.1, 0.07, 0.05)] == [215, 437, 857]


def test_two_equal_methods_are_found_equivalent_at_that_many_prompts():
    """With 437 prompts in about 80 of 100 experiments, and hardly ever where the truth is the margin."""
    random = np.random.default_rng(1)

    def share(rate_of: float) -> float:
        found = 0
        for _ in range(100):
            outcomes = (random.random((1, 437)) < rate_of).astype(float)
            low, high = tost(outcomes, 0.07).estimate.interval
            found += low > 0.43 and high < 0.57
        return found / 100

    assert share(0.5) == pytest.approx(0.8, abs=0.1)
    assert share(0.43) <= 0.1
