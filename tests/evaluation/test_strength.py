"""Which weight is taken: the best lower bound among those within the limits, by numbers worked by hand."""

import re
from collections.abc import Sequence

import pytest

from genarm.config import TuneConfig
from genarm.evaluation.strength import (
    as_csv,
    base_point,
    choose,
    explained,
    guided_point,
    lower_bound,
    sharpened,
)
from genarm.system.files import read_json, write_json
from genarm.types import Comparison, Estimate, StrengthPoint, TextHealth, Tuned

OF_TEXT = "perplexity 12.1 > 12, 1.2 times the base's, shown by 20 prompts"  # as `shown_limits` has it
BASE = TextHealth("base", 60.0, 0.01, 10.0, 0.0, finished=0.9)


def point(
    weight: float, wins: int, n: int = 20, unread: int = 0, faults: Sequence[str] = (), **health: float
) -> StrengthPoint:
    """A weight that wins on some of n prompts, with a KL of its own and else the base's text."""
    rate = wins / n
    judged = Comparison(
        "kind", "challenger", "base", Estimate(rate, (0.0, 1.0), n), wins, 0, n - wins, unread, 0.5
    )
    given = {
        "mean_tokens": 60.0,
        "repetition": 0.01,
        "perplexity": 10.0,
        "kl": weight,
        "finished": 0.9,
        **health,
    }
    return guided_point(weight, 1.0, TextHealth("challenger", **given), judged, TuneConfig(), faults)


def test_the_best_lower_bound_is_taken():
    """Wilson at z 1.96: 14 of 20 has 0.481, 16 of 20 has 0.584, 12 of 13 has 0.667 on fewer prompts."""
    points = [point(0.2, 14), point(0.4, 16), point(0.6, 12, n=13)]
    assert [lower_bound(p) for p in points] == pytest.approx([0.481, 0.584, 0.667], abs=1e-3)
    assert choose(points).weight == 0.6 and choose(points[:2]).weight == 0.4
    assert choose([point(0.2, 16), point(0.4, 16)]).weight == 0.2, (
        "of two equals the one that moves text less"
    )


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({"kl": 1.01}, "KL 1.01 > 1, the most allowed"),
        ({"faults": [OF_TEXT]}, OF_TEXT),
        ({"kl": float("nan")}, "KL nan > 1, the most allowed"),
        ({"unread": 3}, "3 of 23 verdicts could not be read, more than 10%"),
    ],
)
def test_a_weight_that_exceeds_a_limit_is_never_taken(changed, fault):
    best = point(0.9, 20, **changed)
    assert list(best.faults) == [fault]
    within = point(0.2, 11, kl=1.0, unread=2)
    assert not within.faults, "each limit may be reached"
    points = [within, best]
    assert choose(points) is within
    assert explained(points, within) == (
        "win rate 0.55 [0.00, 1.00] n=20 over base, the only one of 2 weights within the limits; "
        f"left out: weight 0.9: {fault}"
    )
    points = [point(0.2, 14), point(0.4, 16), best]  # 16 of 20: see above
    assert "the best lower bound (0.58) of the 2 of 3 weights within the limits; " in explained(
        points, points[1]
    )


def test_where_nothing_keeps_the_limits_nothing_is_taken_and_every_fault_is_told():
    points = [point(0.5, 20, faults=[OF_TEXT]), point(1.0, 20, kl=2.0, faults=["repetition 0.2 > 0.03"])]
    assert choose(points) is None
    assert explained(points, None) == (
        "no weight of 2 keeps the limits of tuning on validation prompts: "
        f"weight 0.5: {OF_TEXT}; weight 1: KL 2 > 1, the most allowed, repetition 0.2 > 0.03"
    )


def test_the_control_is_as_sharp_as_a_sum_of_the_base_with_itself():
    """p^(1/T) with T = 1 / 1.25 is p^1.25 = p * p^0.25."""
    assert sharpened(1.0, 0.25) == 0.8 and sharpened(0.0, 0.25) == 0.0


def test_the_table_has_the_base_and_every_weight():
    origin = base_point(BASE, 20, 1.0, held_out=False)
    header, *rows = as_csv([origin, point(0.2, 14)]).splitlines()
    assert header.startswith("weight,kl,win_rate,win_rate_lower,win_rate_upper,")
    assert rows == ["0.0,0.0,0.5,0.5,0.5,,,,10.0,0.01,60.0,0.9", "0.2,0.2,0.7,0.0,1.0,,,,10.0,0.01,60.0,0.9"]


def test_a_curve_without_the_share_that_ended_is_still_read(tmp_path):
    """Of an earlier version: the limit that it did not know faults nothing."""
    old = Tuned(0.2, "sum", "validation", "why", curve=[point(0.2, 14, finished=None)])
    write_json(tmp_path / "tuned.json", old)
    text = (tmp_path / "tuned.json").read_text()
    (tmp_path / "tuned.json").write_text(re.sub(r',\s*"finished": null', "", text))
    assert "finished" not in (tmp_path / "tuned.json").read_text()
    found = read_json(tmp_path / "tuned.json", Tuned)
    assert found.curve[0].finished is None and not found.curve[0].faults
    assert as_csv(found.curve).splitlines()[1].endswith(",60.0,")
