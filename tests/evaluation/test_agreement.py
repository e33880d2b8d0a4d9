"""Agreement with people: every number by hand, and an interval that knows of prompts that repeat."""

import numpy as np
import pytest

from genarm.evaluation.agreement import Reading, agreement, by_prompt
from genarm.judges.statistics import Games


def readings(*said: tuple[float | None, float | None, int]) -> list[Reading]:
    """Pairs of a prompt each: what was said where people's choice was shown first, and second; `longer`."""
    games = [(Games(first, second), longer) for first, second, longer in said]
    return [
        Reading(f"p{i}", game.preference, game.consistent, game.firsts, longer)
        for i, (game, longer) in enumerate(games)
    ]


def test_every_number_by_hand():
    """Agrees, disagrees, prefers the first in both orders, ties, is not read; lengths 3, 3, -1, 2."""
    found = agreement("f", "h", readings((1, 1, 3), (-1, -1, 3), (1, -1, -1), (0, 0, 2), (None, 1, 5)))
    assert found.accuracy.value == (1 + 0 + 0.5 + 0.5) / 4 and found.accuracy.n == 4
    assert (found.unread, found.prompts, found.ties) == (1, 4, 0.5)
    assert found.consistency == 3 / 4
    # Says the first: 1, 0 (what people chose first, then second); 0, 1; 1, 1; two halves; 0 of the last.
    assert found.first == pytest.approx((1 + 0 + 0 + 1 + 1 + 1 + 0.5 + 0.5 + 0) / 9)
    assert found.longer == (1 + 0 + 0.5 + 0.5) / 4
    assert found.length_correlation == pytest.approx(0)


def test_a_judge_that_goes_by_position_or_always_ties_agrees_with_nobody():
    for said in ((1, -1), (0, 0)):
        found = agreement("f", "h", readings(*[(*said, 1)] * 400))
        assert found.accuracy.value == 0.5 and found.accuracy.interval[0] < 0.5 < found.accuracy.interval[1]
        assert (found.consistency, found.first) == ((0, 1) if said[0] else (1, 0.5))


def test_preferring_the_longer_is_seen_whichever_people_chose():
    lengths = [5, -3, 8, -9, 2, -1]
    found = agreement("f", "h", readings(*[((x > 0) - (x < 0),) * 2 + (x,) for x in lengths]))
    assert found.accuracy.value == 0.5 and found.longer == 1
    assert found.length_correlation is not None and found.length_correlation > 0.8
    assert agreement("f", "h", readings((1, 1, 0))).longer is None


def test_pairs_of_one_prompt_are_no_independent_observations():
    """100 prompts of 4 pairs that always agree: as wide as 100 pairs, and twice as wide as 400."""
    outcomes = [(f"p{i}", float(i % 2)) for i in range(100) for _ in range(4)]
    found, se = by_prompt(outcomes)
    assert found.value == 0.5 and found.n == 400
    assert se == pytest.approx(0.05, rel=0.05)
    assert found.interval[1] - found.interval[0] == pytest.approx(4 * 0.049, rel=0.1)
    single, of_single = by_prompt([(f"p{i}", float(i % 2)) for i in range(400)])
    assert of_single == pytest.approx(0.025) and single.interval[1] == pytest.approx(0.549, abs=1e-3)


def test_the_interval_by_prompt_covers_the_truth():
    """60 prompts of 1 to 6 pairs; a prompt's own rate is 0.4 or 0.9, so the mean over pairs is 0.65."""
    random, covered = np.random.default_rng(3), 0
    for _ in range(150):
        rates = random.choice([0.4, 0.9], 60)
        sizes = random.integers(1, 7, 60)
        rows = [
            (f"p{i}", float(random.random() < rate))
            for i, (rate, size) in enumerate(zip(rates, sizes, strict=True))
            for _ in range(size)
        ]
        low, high = by_prompt(rows)[0].interval
        covered += low <= 0.65 <= high
    assert 0.89 <= covered / 150 <= 0.99


def test_nothing_that_could_be_read_says_nothing():
    found = agreement("f", "h", readings((None, None, 1)))
    assert (found.accuracy.n, found.accuracy.interval, found.unread) == (0, (0.0, 1.0), 1)
