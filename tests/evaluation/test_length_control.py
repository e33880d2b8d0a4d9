"""The length control, against statsmodels and on made-up judges."""

import numpy as np
from pytest import approx
from scipy.special import expit

from genarm.evaluation.length_control import fit, length_controlled


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
