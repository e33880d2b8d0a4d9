"""The search for a strength: on curves that are worked by hand, and on such as rows have."""

import math
import random

import pytest

from genarm.experiments.search import Aim, Point, missed, nearest, next_strength

AIM = Aim(kl=0.32, tolerance=0.05, least=0.25, largest=4.0, tries=6)


def search(aim, curve, limit=math.inf):
    """All that is tried of a curve; strengths beyond `limit` exceed a limit of the text."""
    tried = []
    while (strength := next_strength(aim, tried)) is not None:
        tried.append(Point(strength, curve(strength), ["perplexity 9 > 5"] if strength > limit else []))
    return tried


def strengths(tried):
    return [point.strength for point in tried]


def test_on_a_straight_line_the_third_try_is_there():
    """KL = 0.08 s^2 is 0.32 at 2. The middle is 1, then the end; the line from 1 to 4 has it at 2."""
    tried = search(AIM, lambda s: 0.08 * s * s)
    assert strengths(tried) == [1.0, 4.0, 2.0]
    assert nearest(AIM, tried).strength == 2.0 and missed(AIM, tried) is None


def test_below_the_middle_the_other_end_is_tried():
    """KL = 1.28 s^2 is 0.32 at 0.5: the middle has 1.28, the end 0.25 has 0.08."""
    assert strengths(search(AIM, lambda s: 1.28 * s * s)) == [1.0, 0.25, 0.5]


def test_a_middle_that_is_there_takes_one_try():
    assert strengths(search(AIM, lambda s: 0.33 * s)) == [1.0]


def test_a_curve_that_ends_below_says_so():
    tried = search(AIM, lambda s: 0.05 * s)
    assert strengths(tried) == [1.0, 4.0]
    assert nearest(AIM, tried).strength == 4.0
    assert missed(AIM, tried) == "4, the end of its range, goes no further"


def test_a_curve_that_begins_above_says_so_and_the_least_is_taken():
    tried = search(AIM, lambda s: 2 * s)
    assert strengths(tried) == [1.0, 0.25]
    assert nearest(AIM, tried).strength == 0.25
    assert missed(AIM, tried) == "even 0.25, the least of its range, goes further"


def test_a_curve_that_rises_and_falls_is_searched_where_it_rises():
    """KL is 0.4 at 1 and halves whenever the strength doubles or halves: 0.32 at 0.8 and at 1.25."""
    tried = search(AIM, lambda s: 0.4 * 2 ** -abs(math.log2(s)))
    assert strengths(tried) == [1.0, 0.25, 0.8]
    assert nearest(AIM, tried).kl == pytest.approx(0.32)


def test_a_curve_that_falls_throughout_is_searched_too():
    """KL = 0.5 / s is 0.32 at 1.5625. The middle has 0.5, the least 2: it falls, so the other end is next."""
    tried = search(AIM, lambda s: 0.5 / s)
    assert strengths(tried) == [1.0, 0.25, 4.0, pytest.approx(1.5625, abs=1e-3)]
    assert missed(AIM, tried) is None


def test_a_curve_that_swings_is_searched_in_its_widest_gap_and_the_nearest_point_is_taken():
    """With x = log2 s, KL = 0.33 + 0.1 cos(pi x) - 0.02 x: at 1/4, 1 and 4 it is 0.47, 0.43 and 0.39.

    Nothing is below after both ends, so the gap from 1/4 to 1 is halved: 1/2 has 0.25.
    """
    tried = search(AIM, lambda s: 0.33 + 0.1 * math.cos(math.pi * math.log2(s)) - 0.02 * math.log2(s))
    assert strengths(tried)[:4] == [1.0, 0.25, 4.0, 0.5] and len(tried) <= AIM.tries
    kl = sorted((point.kl for point in tried), key=lambda kl: abs(kl - AIM.kl))
    assert nearest(AIM, tried).kl == next(kl for kl in kl if kl <= AIM.kl or AIM.reached(kl))


def test_where_the_curve_jumps_over_the_kl_the_side_below_is_taken_when_no_try_is_left():
    tried = search(AIM, lambda s: 0.2 if s < 1.5 else 0.5)
    assert len(tried) == AIM.tries
    assert nearest(AIM, tried).kl == 0.2 and missed(AIM, tried) == "it was not found in 6 tries"


def test_a_limit_of_the_text_counts_as_too_strong():
    """KL = 0.08 s^2 is there at 2, and the text beyond its limit above 1.5: the largest that keeps it."""
    tried = search(AIM, lambda s: 0.08 * s * s, limit=1.5)
    assert len(tried) == AIM.tries
    kept = [point.strength for point in tried if not point.faults]
    assert nearest(AIM, tried).strength == max(kept) and 1.3 < max(kept) <= 1.5
    assert "exceeds a limit of the text: perplexity 9 > 5" in missed(AIM, tried)


def test_where_nothing_keeps_the_limits_the_least_kl_is_taken():
    tried = search(AIM, lambda s: 0.1 * s, limit=0.0)
    assert nearest(AIM, tried).strength == 0.25
    assert missed(AIM, tried) == "none of 2 strengths that were tried keeps the limits of the text"


def test_nothing_is_tried_twice_however_narrow_the_range():
    tried = search(Aim(0.3, 0.05, 1.0, 1.01, 20), lambda s: 0.1 if s < 1.005 else 0.5)
    assert len(set(strengths(tried))) == len(tried) < 20


def test_the_nearest_on_either_side_counts_as_reached_else_the_nearest_below():
    there = [Point(s, kl) for s, kl in ((1.0, 0.309), (2.0, 0.325), (3.0, 0.29))]
    assert nearest(AIM, there).strength == 2.0
    off = [Point(s, kl) for s, kl in ((1.0, 0.2), (2.0, 0.35), (3.0, 0.28))]
    assert nearest(AIM, off).strength == 3.0, "0.35 is nearer, and above"


def test_a_budget_of_one_tries_the_middle_alone():
    tried = search(Aim(0.3, 0.05, 0.25, 4.0, 1), lambda s: 0.1)
    assert strengths(tried) == [1.0] and missed(AIM, tried) == "it was not found in 1 try"


def test_curves_that_rise_and_level_off_are_found_and_most_of_them_in_four_tries():
    """KL = a (1 - exp(-(s / s0)^p)): 300 random ones that pass 0.32 within the range."""
    rng, used = random.Random(0), []
    for _ in range(300):
        a, power = rng.uniform(0.6, 5), rng.uniform(1.2, 2.2)
        root = AIM.least * (AIM.largest / AIM.least) ** rng.uniform(0.05, 0.95)
        z = -math.log(1 - AIM.kl / a)
        tried = search(AIM, lambda s, a=a, z=z, root=root, p=power: -a * math.expm1(-z * (s / root) ** p))
        assert missed(AIM, tried) is None
        used.append(len(tried))
    assert sum(n <= 4 for n in used) > 0.9 * len(used)
