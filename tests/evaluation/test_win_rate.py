"""Win rates, health and scorecards: numbers worked by hand, and the length control against statsmodels."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest import approx
from scipy import stats
from scipy.special import expit

from genarm.errors import DataError
from genarm.evaluation.length_control import fit, length_controlled
from genarm.evaluation.win_rate import figures, health, repetition, score, sign_test, wilson, win_rate
from genarm.types import Champion, Response, Scorecard, Side, Verdict

PREFERENCES = st.sampled_from([-1.0, -0.5, 0.0, 0.25, 1.0, None])


def verdicts(*preferences: float | None, dimension: str = "plain", right: Side = "base") -> list[Verdict]:
    return [Verdict(f"p{i:03}", dimension, "challenger", right, p) for i, p in enumerate(preferences)]


def response(prompt: str, text: str = "yes", tokens: int = 2, logprob: float = -2.0) -> Response:
    return Response(prompt, text, tokens, "stop", logprob, 0.1)


def test_ties_count_half_and_the_unread_not_at_all():
    """2 wins, 1 tie, 1 loss, 1 unread: (2 + 1/2) / 4; three discordant, P(>= 2 heads of 3) = 4/8."""
    found = win_rate(verdicts(1, 1, 0, -1, None))
    assert (found.wins, found.ties, found.losses, found.unread) == (2, 1, 1, 1)
    assert (found.win_rate.value, found.win_rate.n, found.p_value) == (0.625, 4, 0.5)


def test_the_sign_test_is_exact():
    assert sign_test(9, 1) == 11 / 1024
    assert sign_test(1, 9) == 1023 / 1024
    assert sign_test(0, 0) == 1


def test_verdicts_on_one_prompt_are_averaged_before_they_are_counted():
    """+1 and -1 make one tie, not a win and a loss; 0.1 + 0.2 - 0.3 is a tie though not 0 in floats; one
    that could not be read leaves the other."""
    both = [
        replace(v, prompt_id=name)
        for name, v in zip("aabbbcc", verdicts(1, -1, 0.1, 0.2, -0.3, 1, None), strict=True)
    ]
    found = win_rate(both)
    assert (found.wins, found.ties, found.losses, found.unread, found.win_rate.n) == (1, 2, 0, 0, 3)
    assert found.win_rate.value == approx((0.5 + 0.5 + 1) / 3)


def test_wilson_by_hand():
    """8 of 10 at z = 2: (0.8 + 0.2 -+ 2 sqrt(0.016 + 0.01)) / 1.4."""
    half = 2 * math.sqrt(0.026)
    assert wilson(0.8, 10, 2) == approx(((1 - half) / 1.4, (1 + half) / 1.4))
    assert wilson(1.0, 10, 2) == approx((1 / 1.4, 1.0))
    assert wilson(0.5, 0, 2) == (0, 1)


def test_without_ties_the_interval_is_wilsons():
    found = win_rate(verdicts(*[1] * 70, *[-1] * 30)).win_rate
    expected = stats.binomtest(70, 100).proportion_ci(method="wilson")
    assert found.interval == approx((expected.low, expected.high))


def test_with_ties_the_interval_is_a_bootstrap_near_the_normal_one():
    """60 wins, 20 ties, 20 losses: mean 0.7, variance (60 * .09 + 20 * .04 + 20 * .49) / 100 = 0.16."""
    found = win_rate(verdicts(*[1] * 60, *[0] * 20, *[-1] * 20)).win_rate
    half = 1.96 * math.sqrt(0.16 / 100)
    assert found.interval == approx((0.7 - half, 0.7 + half), abs=0.01)


def test_outcomes_that_are_all_alike_still_leave_doubt():
    assert win_rate(verdicts(*[0] * 10)).win_rate.interval == approx(wilson(0.5, 10, 1.96), abs=1e-4)
    nothing = win_rate(verdicts(None, None))
    assert (nothing.win_rate.interval, nothing.win_rate.n, nothing.unread, nothing.p_value) == (
        (0, 1),
        0,
        2,
        1,
    )


@given(st.lists(PREFERENCES, min_size=1, max_size=12), st.randoms())
def test_counts_add_up_and_neither_order_nor_the_side_named_first_matters(preferences, random):
    rows = verdicts(*preferences)
    found = win_rate(rows)
    assert found.wins + found.ties + found.losses == found.win_rate.n == len(rows) - found.unread
    assert found.win_rate.interval[0] <= found.win_rate.value <= found.win_rate.interval[1]
    turned = win_rate([replace(v, preference=None if v.preference is None else -v.preference) for v in rows])
    assert turned.win_rate.value == approx(1 - found.win_rate.value)
    assert (turned.wins, turned.losses) == (found.losses, found.wins)
    random.shuffle(rows)
    assert win_rate(rows) == found


def test_a_win_rate_refuses_mixed_and_impossible_verdicts():
    with pytest.raises(DataError, match="of 2"):
        win_rate(verdicts(1) + verdicts(1, dimension="positive"))
    with pytest.raises(DataError, match="p000: a preference of 2 is outside"):
        win_rate(verdicts(2))


def test_repetition_by_hand():
    """'a b c d' comes twice among the 5 four-grams of 'a b c d a b c d'; only its second time is a repeat."""
    assert repetition("A b c d a b  c d") == approx(1 / 5)
    assert repetition("one two three") == 0
    assert repetition("no " * 23) == approx(19 / 20)


def test_health_by_hand():
    """4 tokens at -2 nats and 2 at -1: perplexity exp(3 / 6), not the mean of the two perplexities."""
    found = health("base", [response("a", "no " * 8, 4, -2.0), response("b", "yes", 2, -1.0)])
    assert found.perplexity == approx(math.exp(0.5))
    assert (found.mean_tokens, found.repetition, found.kl) == approx((3, 0.4, 0.1))
    with pytest.raises(DataError, match="champion answered with no token"):
        health("champion", [])


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


def test_the_figures_of_an_experiment_are_those_over_the_rival():
    sides = {s: [response("p000"), response("p001")] for s in ("base", "champion", "challenger")}
    rows = [*verdicts(-1, -1, dimension="positive"), *verdicts(1, 0, dimension="positive", right="champion")]
    found = figures(score("positive", "hash", Champion(1, "m", "other", 1.0), sides, rows))
    assert found == {"win_rate": {"positive": 0.75}, "perplexity": approx(math.e), "repetition": 0, "kl": 0.1}
    assert figures(Scorecard("positive", "hash", None, [], [])) == {"win_rate": {}}


def test_a_scorecard_refuses_sides_that_answered_other_prompts():
    sides: dict[Side, list[Response]] = {"base": [response("p000"), response("p001")]}
    with pytest.raises(DataError, match="responses of the challenger miss 1 prompts, first p001"):
        score("plain", "hash", None, {**sides, "challenger": [response("p000")]}, [])
    with pytest.raises(DataError, match="p000 more than once"):
        score("plain", "hash", None, {**sides, "challenger": [*sides["base"], response("p000")]}, [])
    with pytest.raises(DataError, match="challenger against base, miss 1 prompts"):
        score("plain", "hash", None, {**sides, "challenger": sides["base"]}, verdicts(1))
    with pytest.raises(DataError, match="challenger, which did not answer"):
        score("plain", "hash", None, sides, verdicts(1, 1))


def test_length_control_equals_a_logistic_regression_by_statsmodels():
    import statsmodels.api as sm

    random = np.random.default_rng(1)
    longer = random.normal(3, 8, 300)
    length = np.tanh(longer / np.sqrt(np.mean(longer**2)))
    won = random.choice([0, 0.5, 1], 300) * (random.random(300) < expit(2 * length))
    model = sm.GLM(won, sm.add_constant(length), family=sm.families.Binomial()).fit()
    assert fit(won, length, np.ones((1, 300)))[0] == approx(model.params, abs=2e-3)
    found = length_controlled(won, longer)
    assert found is not None
    assert found.value == approx(expit(model.params[0]), abs=1e-3)


def test_length_control_takes_out_what_length_alone_won():
    """The judge only counts words and the challenger is longer on most prompts: raw 0.7, controlled even."""
    random = np.random.default_rng(2)
    longer = random.normal(5, 10, 500)
    won = (random.random(500) < expit(3 * np.tanh(longer / 11))).astype(float)
    found = length_controlled(won, longer)
    assert found is not None and won.mean() > 0.6
    assert found.interval[0] < 0.5 < found.interval[1]
    # A better challenger stays better, and a fit stays finite where it always wins.
    assert length_controlled([1.0] * 50, list(longer[:50])).interval[0] > 0.95


def test_length_control_says_nothing_where_it_cannot():
    assert length_controlled([1, 0] * 9, [1, 2] * 9) is None
    assert length_controlled([1, 0] * 20, [0, 0] * 20) is None
