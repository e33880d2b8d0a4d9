"""Scorecards: what they hold, in which order, and what they refuse."""

import math

import pytest
from pytest import approx
from verdict_rows import response, verdicts

from genarm.errors import DataError
from genarm.evaluation.scorecard import metrics, score
from genarm.types import Champion, Response, Scorecard, Side


def test_a_scorecard_puts_its_own_dimension_and_its_rival_first():
    sides = {s: [response("p000"), response("p001")] for s in ("base", "champion", "challenger")}
    rows = [
        *verdicts(1, 1, dimension="plain"),
        *verdicts(0, 1, dimension="positive"),
        *verdicts(-1, 1, dimension="positive", right="champion"),
    ]
    card = score("positive", "hash", Champion(1, "m", "other", 1.0), sides, rows)
    assert [(c.dimension, c.right) for c in card.comparisons] == [
        ("positive", "champion"),
        ("positive", "base"),
        ("plain", "base"),
    ]
    assert card.comparisons[1].win_rate.value == 0.75
    assert [h.side for h in card.health] == ["base", "champion", "challenger"]


def test_the_metrics_of_an_experiment_are_those_over_the_rival():
    sides = {s: [response("p000"), response("p001")] for s in ("base", "champion", "challenger")}
    rows = [*verdicts(-1, -1, dimension="positive"), *verdicts(1, 0, dimension="positive", right="champion")]
    found = metrics(score("positive", "hash", Champion(1, "m", "other", 1.0), sides, rows))
    assert found == {"win_rate": {"positive": 0.75}, "perplexity": approx(math.e), "repetition": 0, "kl": 0.1}
    assert metrics(Scorecard("positive", "hash", None, [], [])) == {"win_rate": {}}


def test_a_scorecard_refuses_sides_that_answered_other_prompts():
    sides: dict[Side, list[Response]] = {"base": [response("p000"), response("p001")]}
    with pytest.raises(DataError, match="responses of the challenger miss 1 prompt, first p001"):
        score("plain", "hash", None, {**sides, "challenger": [response("p000")]}, [])
    with pytest.raises(DataError, match="p000 more than once"):
        score("plain", "hash", None, {**sides, "challenger": [*sides["base"], response("p000")]}, [])
    with pytest.raises(DataError, match="challenger against base, miss 1 prompt"):
        score("plain", "hash", None, {**sides, "challenger": sides["base"]}, verdicts(1))
    with pytest.raises(DataError, match="challenger, which did not answer"):
        score("plain", "hash", None, sides, verdicts(1, 1))
