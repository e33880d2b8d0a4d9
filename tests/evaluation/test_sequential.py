"""The test that may be looked at: its exact size, published constants, and false promotions by simulation."""

import numpy as np
import pytest
from scipy import stats

from genarm.config import RuleConfig
from genarm.evaluation.betting import exceeds, lower_bound
from genarm.evaluation.rule import decide
from genarm.evaluation.sequential import boundary, crossing, looked, p_value
from genarm.types import Comparison, Estimate, Scorecard, TextHealth

RUNS = 4000


def paths(rate: float, ties: float, runs: int, most: int, seed: int) -> np.ndarray:
    """Preferences [runs, most]: 1, 0 or -1; `rate` is the share of wins among those that are not ties."""
    rng = np.random.default_rng(seed)
    won = np.where(rng.random((runs, most)) < rate, 1, -1)
    return np.where(rng.random((runs, most)) < ties, 0, won)


def highest(preferences: np.ndarray) -> np.ndarray:
    """The statistic of every run at its end: the largest S_n / n^(1/4)."""
    n = np.maximum(1, np.cumsum(preferences != 0, axis=1))
    return (np.cumsum(preferences, axis=1) / n**0.25).max(axis=1)


def test_three_prompts_by_hand():
    """Of 8 walks of 3 steps, those that reach 3 / 3^(1/4) = 2.28: one. 2 / 2^(1/4) = 1.68 reach the two that
    begin with two wins, and no other (+-+ ends at 1). 1 reaches 1 by step 1, or 1 / 3^(1/4) < 1 too late."""
    assert p_value([1, 1, 1], 3) == pytest.approx(1 / 8)
    assert p_value([1, 0, 1], 3) == p_value([1, 1, -1], 3) == pytest.approx(2 / 8)
    assert p_value([1], 3) == pytest.approx(4 / 8)
    assert p_value([], 3) == p_value([-1, -1], 3) == p_value([0], 3) == 1
    assert p_value([1, 1], 2) < p_value([1, 1], 300), "more chances to reach it by luck"
    with pytest.raises(ValueError, match="2 preferences, but the test allows for 1"):
        p_value([1, 1], 1)


def test_a_level_boundary_is_reached_as_the_reflection_principle_says():
    """P(max S >= a) = P(S_n >= a) + P(S_n > a)."""
    n, a = 400, 30
    expected = stats.binom.sf((n + a) / 2 - 1, n, 0.5) + stats.binom.sf((n + a) / 2, n, 0.5)
    assert crossing(a, n, exponent=0.0) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("looks", "exponent", "constant"), [(2, 0.5, 2.178), (5, 0.5, 2.413), (2, 0.0, 1.977), (5, 0.0, 2.040)]
)
def test_published_constants_of_group_sequential_designs(looks, exponent, constant):
    """Pocock's and O'Brien and Fleming's, two-sided 0.05 (Jennison and Turnbull 2000, tables 2.1 and 2.3).
    The walk is a lattice, so its size is a little off 0.025."""
    every = 600
    most = looks * every
    scale = 1.0 if exponent else np.sqrt(most)
    assert crossing(constant * scale, most, exponent, every) == pytest.approx(0.025, rel=0.06)


def test_p_is_below_alpha_exactly_beyond_the_boundary():
    c, walks = boundary(0.05, 60), paths(0.6, 0.2, 200, 60, seed=3)
    beyond = highest(walks) >= c
    assert 20 < beyond.sum() < 180
    assert [p_value(list(row), 60) < 0.05 for row in walks] == list(beyond)


@pytest.mark.parametrize("alpha", [0.01, 0.05])
@pytest.mark.parametrize(("ties", "dimensions"), [(0.0, 1), (0.4, 1), (0.0, 2), (0.4, 2)])
def test_looking_at_every_prompt_promotes_falsely_at_most_alpha_of_the_time(alpha, ties, dimensions):
    """Stopped at the best moment of all; with two dimensions, Holm asks alpha / 2 of the better one. The
    bound lets a test that is exactly at alpha fail once in a thousand."""
    most = 360
    reached = [highest(paths(0.5, ties, RUNS, most, seed)) for seed in range(dimensions)]
    false = int((np.max(reached, axis=0) >= boundary(alpha / dimensions, most)).sum())
    assert 0 < false <= stats.binom.ppf(0.999, RUNS, alpha)


def test_the_fixed_test_looked_at_would_promote_falsely_more_often():
    """What the test is for: nine looks at the exact sign test of one look."""
    walks, false = paths(0.5, 0.0, RUNS, 600, seed=5), np.zeros(RUNS, dtype=bool)
    for n in range(120, 601, 60):
        false |= (walks[:, :n] > 0).sum(axis=1) > stats.binom.isf(0.05, n, 0.5)
    assert false.sum() > stats.binom.ppf(0.999, RUNS, 0.05) * 1.5


def counts(outcomes: np.ndarray) -> dict[float, int]:
    return dict(zip(*np.unique(outcomes, return_counts=True), strict=True))


@pytest.mark.parametrize("ties", [0.0, 0.5])
def test_a_guard_that_is_looked_at_lets_harm_through_at_most_one_time_in_twenty(ties):
    """True rate 0.35, the margin's edge, with ties or without, looked at nine times."""
    rng, runs, passed = np.random.default_rng(1), 400, 0
    chances = [0.35 - ties / 2, ties, 0.65 - ties / 2]
    for _ in range(runs):
        outcomes = rng.choice([1.0, 0.5, 0.0], 600, p=chances)
        passed += any(exceeds(counts(outcomes[:n]), 0.35, 0.05) for n in range(120, 601, 60))
    assert passed <= stats.binom.ppf(0.999, runs, 0.05)
    assert lower_bound({1: 60, 0: 60}, 0.05) > 0.35 > lower_bound({1: 20, 0: 20}, 0.05), (
        "while an equal challenger passes at 120 prompts"
    )


def card(preferences: list[float], most: int | None, other: float = 0.0) -> Scorecard:
    wins, losses = sum(p > 0 for p in preferences), sum(p < 0 for p in preferences)
    n = len(preferences)

    def comparison(dimension: str, said: list[float], up: int, down: int) -> Comparison:
        seen = looked(said, 2, most) if most else None
        rate = Estimate((up + (n - up - down) / 2) / n, (0.0, 1.0), n)
        p = stats.binomtest(up, up + down, alternative="greater").pvalue if up + down else 1.0
        return Comparison(
            dimension, "challenger", "base", rate, up, n - up - down, down, 0, float(p), looked=seen
        )

    health = [TextHealth(side, 40.0, 0.0, 10.0, 0.0) for side in ("base", "challenger")]
    own, guarded = comparison("plain", preferences, wins, losses), comparison("other", [other] * n, 0, 0)
    return Scorecard("plain", "a" * 64, None, [own, guarded], health)


def test_the_rule_reads_the_always_valid_p_and_says_so():
    """62 : 38 has p 0.010 in one look; after two of at most 300 prompts it is not small enough."""
    rule = RuleConfig(alpha=0.02)
    preferences = [1.0, -1.0] * 38 + [1.0] * 24
    [once] = decide([card(preferences, None)], rule)
    [again] = decide([card(preferences, 300)], rule)
    assert (once.outcome, again.outcome) == ("promote", "hold")
    assert "over base, look 2, 100 of at most 300 prompts, adjusted always-valid p 0.0" in again.reasons[0]
    assert "prompts would decide it" in again.reasons[0]
