"""Whether an ARM learned anything, worked by hand; and numbers as people write them."""

import pytest

from genarm.report.learned import learned
from genarm.report.learning import learning
from genarm.report.numbers import duration, people, share, typeset
from genarm.types import Comparison, Estimate, TextHealth

HEALTH = TextHealth("challenger", mean_tokens=50, repetition=0, perplexity=5, kl=0.1)


def won(rate: float, low: float) -> Comparison:
    estimate = Estimate(rate, (low, min(1.0, 2 * rate - low)), 100)
    return Comparison("kind", "challenger", "base", estimate, 70, 0, 30, 0, 1e-5)


def found(kl: float | None, accuracy: float | None, rate: float = 0.7, low: float = 0.6, weight: float = 0.4):
    metrics = {"validation/pairs": 100.0}
    metrics |= {} if kl is None else {"validation/kl_to_base": kl}
    metrics |= {} if accuracy is None else {"validation/implicit_accuracy": accuracy}
    return learning(metrics, weight, won(rate, low), HEALTH)


def test_a_win_that_the_distance_from_the_base_cannot_explain_is_luck_or_sharpening():
    """reach = .4 sqrt(.0004 * 50 / 2) = .04 < .1; the KL that explains it is 2 (.1 / .4)^2 / 50 = .0025."""
    lucky = found(0.0004, 0.9)
    assert lucky.finding == "luck or sharpening"
    assert lucky.reach == pytest.approx(0.04) and lucky.least_kl == pytest.approx(0.0025)
    assert "luck or sharpening: at a KL to the base of 0.0004 nats" in lucky.sentence
    assert "by about 0.04 at most" in lucky.sentence and "0.10 or more above one half" in lucky.sentence
    assert found(0.0026, 0.9).finding == "learned", "just enough"
    metrics = {"validation/kl_to_base": 0.0004}
    by_contrast = learning(metrics, 0.4, won(0.7, 0.6), HEALTH, guidance="contrast")
    assert by_contrast.finding == "luck" and by_contrast.sentence.startswith("The win is luck: at a KL")


@pytest.mark.parametrize(
    ("kl", "accuracy", "rate", "low", "finding"),
    [
        (0.9, 0.6, 0.7, 0.6, "learned"),  # the lower bound of .6 on 100 pairs is .518
        (0.9, 0.55, 0.7, 0.6, "not shown"),  # and of .55 .468
        (None, 0.8, 0.7, 0.6, "learned"),  # a full model has no KL
        (0.9, None, 0.7, 0.6, "not known"),  # trained by an earlier version
        (0.00001, 0.8, 0.5, 0.4, "hardly moved"),  # it won nothing that would have to be explained
    ],
)
def test_what_an_arm_learned_follows_from_its_validation_pairs(kl, accuracy, rate, low, finding):
    assert found(kl, accuracy, rate, low).finding == finding


def test_lengths_are_told_where_they_play_in():
    """.39 of 226: below a half by its upper bound, .39 + 1.96 sqrt(.39 .61 / 226) = .45."""
    metrics = {"validation/pairs": 400.0, "validation/implicit_accuracy": 0.53, "validation/kl_to_base": 0.9}
    parts = {"longer_chosen": (0.72, 168), "shorter_chosen": (0.39, 226), "equal_length": (0.5, 6)}
    for part, (right, n) in parts.items():
        metrics[f"validation/implicit_accuracy_{part}"] = right
        metrics[f"validation/pairs_{part}"] = float(n)
    told = learning(metrics, 0.4, won(0.7, 0.6), HEALTH)
    assert "not shown" in told.sentence
    assert "In part it learned to prefer longer responses" in told.sentence
    assert "0.72 of the 168 pairs whose longer response was chosen and in 0.39 of the 226" in told.sentence
    (row,) = learned({"kind": metrics})
    assert (row.reward, row.accuracy.n) == ("implicit", 400)
    assert row.by_length[1].interval == pytest.approx((0.329, 0.455), abs=2e-3)
    even = metrics | {"validation/implicit_accuracy_shorter_chosen": 0.47}
    sentence = learning(even, 0.4, won(0.7, 0.6), HEALTH).sentence
    assert "It is right in 0.72" in sentence and "In part" not in sentence
    assert learned({"kind": {"train/loss": 0.1}}) == []  # an ARM of an earlier version


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0.7, "0.70"), (12.84, "12.8"), (1234.4, "1,234"), (0.00851, "0.0085"), (0.05, "0.05"), (64.0, "64"),
        (4.41, "4.41"), (4.1e-6, "< 0.0001"), (-4.1e-6, "> -0.0001"), (-0.3, "-0.30"), (0, "0"), (None, ""),
    ],
)  # fmt: skip
def test_numbers_are_written_as_people_do(value, written):
    assert people(value) == written


def test_shares_times_and_reasons_are_written_as_people_do():
    assert [share(v) for v in (0, 0.0085, 0.024, 0.87, 0.997, 1)] == [
        "0%",
        "0.85%",
        "2.4%",
        "87%",
        "99.7%",
        "100%",
    ]
    assert [duration(s) for s in (3.2, 47, 470, 7500)] == ["3.2 s", "47 s", "7 min 50 s", "2 h 5 min"]
    assert typeset("adjusted p 4.1e-06 < 0.01, gain 0.20 >= 0.02") == (
        "adjusted p < 0.0001, limit 0.01, gain 0.20 ≥ 0.02"
    )
    assert typeset("repetition 0.000771 <= 0.0211, the base's + 0.02") == (
        "repetition 0.00077 ≤ 0.021, the base's + 0.02"
    )
    assert typeset("perplexity 1.2e+03 > 13") == "perplexity 1,200 > 13"
