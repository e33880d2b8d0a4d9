"""The numbers that MLflow keeps of a decision are those that the rule read."""

import pytest

from genarm.evaluation.measures import measures
from genarm.types import Champion, Comparison, Estimate, Scorecard, TextHealth


def comparison(dimension: str, rival: str, rate: float, p: float) -> Comparison:
    estimate = Estimate(rate, (rate - 0.1, rate + 0.1), 50)
    return Comparison(dimension, "challenger", rival, estimate, 30, 0, 20, 0, p)  # type: ignore[arg-type]


def test_one_name_for_each_number_and_p_adjusted_over_those_decided_together() -> None:
    health = [TextHealth("base", 40.0, 0.01, 6.0, 0.0), TextHealth("challenger", 44.0, 0.02, 7.0, 0.3)]
    a = Scorecard(
        "a", "x", None, [comparison("a", "base", 0.7, 0.01), comparison("b", "base", 0.5, 0.5)], health
    )
    b = Scorecard(
        "b", "y", None, [comparison("b", "base", 0.6, 0.04), comparison("a", "base", 0.4, 0.9)], health
    )
    same = Scorecard("c", "z", Champion(1, "m", "z", 1.0), [], [])
    found = measures([a, b, same])
    assert found["c"] == {}
    assert found["a"] == pytest.approx(
        {
            "win_rate": 0.7, "win_rate_lower": 0.6, "win_rate_upper": 0.8, "win_rate_n": 50, "p_value": 0.01,
            "p_adjusted": 0.02,
            "win_rate/b": 0.5, "win_rate_lower/b": 0.4, "win_rate_upper/b": 0.6, "win_rate_n/b": 50,
            "p_value/b": 0.5,
            "perplexity": 7.0, "repetition": 0.02, "kl": 0.3, "mean_tokens": 44.0,
        }
    )  # fmt: skip
    assert found["b"]["p_adjusted"] == pytest.approx(0.04)
