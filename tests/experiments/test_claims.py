"""Claims to verdicts, with numbers worked by hand."""

import numpy as np
import pytest

from genarm.experiments import claims
from genarm.types import Estimate


def outcomes(wins: int, n: int) -> np.ndarray:
    """One seed, `wins` wins of `n`."""
    return np.array([[1.0] * wins + [0.0] * (n - wins)])


def test_a_row_beats_another_or_not():
    """Of two p-values Holm doubles the smaller one, so both claims share alpha."""
    better, worse, even, slight = (
        outcomes(140, 200),
        outcomes(60, 200),
        outcomes(104, 200),
        outcomes(1060, 2000),
    )
    found = claims.beats("own", {"a": better, "b": worse, "c": even}, alpha=0.05, least=0.55)
    assert [c.verdict for c in found] == ["confirms", "refutes", "inconclusive"]
    assert found[2].needed == 4904  # 0.52: ((1.96 * 0.5 + 0.8416 * 0.4996) / 0.02)^2
    assert found[0].needed is None
    (small,) = claims.beats("own", {"a": slight}, alpha=0.05, least=0.55)
    assert small.verdict == "inconclusive"
    assert "by less than the 0.55 that was claimed" in small.why


@pytest.mark.parametrize(
    ("wins", "verdict"), [(500, "confirms"), (380, "refutes"), (450, "inconclusive"), (700, "inconclusive")]
)
def test_equivalence(wins, verdict):
    """Of 1000 prompts the 90% interval reaches 0.026 to either side, the margin is 0.07."""
    found = claims.equivalent("own", "dpo", outcomes(wins, 1000), 0.07, 0.05)
    assert found.verdict == verdict
    assert found.needed is None, "two equal methods would have been found equivalent with so many"
    assert ("better by more than the margin" in found.why) == (wins == 700)


def test_how_many_prompts_would_show_equivalence():
    found = claims.equivalent("own", "dpo", outcomes(90, 200), 0.07, 0.05)
    assert (found.verdict, found.needed) == ("inconclusive", 435)  # of a spread of 0.4987


def test_faster():
    assert claims.faster("own", "args", 1.0, 4.0, 4.0).verdict == "confirms"
    assert claims.faster("own", "args", 1.0, 3.9, 4.0).verdict == "refutes"


def test_the_gap_that_is_recovered():
    """Floor 0.5, ceiling 0.9, own 0.8: (0.8 - 0.5) / 0.4 = 0.75; the control recovers 0.25."""
    rates = {
        "own": outcomes(1600, 2000),
        "floor": np.full((1, 2000), 0.5),
        "ceiling": outcomes(1800, 2000),
        "control": outcomes(1200, 2000),
    }
    found = claims.recovers("own", rates, "floor", "ceiling", "control")
    assert found.verdict == "confirms"
    assert "0.75 [" in found.why
    assert "+0.50 [" in found.why
    swapped = rates | {"own": rates["control"], "control": rates["own"]}
    found = claims.recovers("own", swapped, "floor", "ceiling", "control")
    assert found.verdict == "refutes"
    level = rates | {"ceiling": outcomes(1000, 2000)}
    assert claims.recovers("own", level, "floor", "ceiling", None).verdict == "inconclusive"


def test_a_front_must_be_larger_by_every_judge():
    more, less, open_ = (Estimate(v, i, 100) for v, i in ((1, (0.5, 2)), (-1, (-2, -0.5)), (0.1, (-1, 1))))
    assert claims.front("a", "b", {"gold": more, "held out": more}).verdict == "confirms"
    assert claims.front("a", "b", {"gold": more, "held out": open_}).verdict == "inconclusive"
    assert claims.front("a", "b", {"gold": more, "held out": less}).verdict == "refutes"
    alone = claims.front("a", "b", {"gold": more})
    assert alone.verdict == "inconclusive" and "no dimension has a held-out judge" in alone.why
    assert claims.front("a", "b", {"gold": less}).verdict == "refutes"
    assert claims.front("a", "b", {}).verdict == "inconclusive"


def test_a_front_of_more_points_is_not_confirmed_by_having_more():
    more, less = (Estimate(v, i, 100) for v, i in ((1, (0.5, 2)), (-1, (-2, -0.5))))
    both = {"gold": more, "held out": more}
    assert claims.front("a", "b", both, (3, 11)).verdict == "confirms"
    found = claims.front("a", "b", both, (11, 3))
    assert found.verdict == "inconclusive" and "11 points against 3" in found.why
    assert claims.front("a", "b", {"gold": less}, (11, 3)).verdict == "refutes"
    assert claims.front("a", "b", {"gold": less}, (3, 11)).verdict == "inconclusive"


def test_seeds_that_differ_are_said_to_decide_nothing():
    """Three trainings that win 45, 60 and 75 of 100: by prompts alone 0.60 of 300 would be certain."""
    rates = np.concatenate([outcomes(wins, 100) for wins in (45, 60, 75)])
    (found,) = claims.beats("own", {"a": rates}, alpha=0.05, least=0.55)
    assert (found.verdict, found.needed) == ("inconclusive", None)
    assert "the training seeds differ so much" in found.why
    assert claims.equivalent("own", "a", rates, 0.07, 0.05).needed is None
    gap = {"own": rates, "floor": np.full((1, 100), 0.5), "ceiling": np.ones((1, 100))}
    assert claims.recovers("own", gap, "floor", "ceiling", None).verdict == "inconclusive"
