"""Steps are random samples; packs keep to their budget, are even, and hold every pair once."""

import random
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genarm.errors import ConfigError
from genarm.training.packing import Plan, pack


def test_packs_by_hand():
    """10 tokens in packs of 6: 5 and 1, 4 alone would do, and the even deal 5 | 4, 1 is what comes."""
    assert pack([1, 5, 4], 6) == [[1], [0, 2]]
    assert pack([3, 3, 3], 5) == [[0], [1], [2]]


@given(
    tokens=st.lists(st.integers(3, 99), min_size=1, max_size=60),
    epochs=st.sampled_from([0.5, 1.0, 2.3]),
    batch=st.integers(1, 9),
    most=st.integers(99, 300),
)
@settings(max_examples=60, deadline=None)
def test_each_pair_is_taken_once_an_epoch_in_full_steps_and_packs_that_fit(tokens, epochs, batch, most):
    plan = Plan(np.array(tokens), epochs=epochs, batch_pairs=batch, batch_tokens=most, seed=1)
    total = max(1, round(epochs * len(tokens)))
    steps = [plan[i] for i in range(len(plan))]
    counts = Counter(i for step in steps for p in step for i in p)
    assert counts.total() == total
    assert max(counts.values()) - min(counts.get(i, 0) for i in range(len(tokens))) <= 1
    filled = [[sum(tokens[i] for i in p) for p in step] for step in steps]
    assert all(0 < n <= most for step in filled for n in step)
    sizes = [sum(map(len, step)) for step in steps]
    assert sizes[:-1] == [batch] * (len(sizes) - 1)
    assert sizes[-1] == (total % batch or batch)
    assert plan.tokens == sum(map(sum, filled))


def test_a_step_is_a_random_sample_whatever_the_lengths_are():
    """256 pairs of lengths 20 to 400 in 16 steps: the steps' means spread as those of random samples do."""
    rng = random.Random(0)
    tokens = np.array([rng.randint(20, 400) for _ in range(256)])
    first, again, other = (
        [*Plan(tokens, epochs=1, batch_pairs=16, batch_tokens=1024, seed=seed)] for seed in (0, 0, 1)
    )
    assert first == again != other
    means = [tokens[[i for p in step for i in p]].mean() for step in first]
    assert 0.5 < np.std(means) / (tokens.std() / 4) < 1.5
    filled = [[tokens[p].sum() for p in step] for step in first]
    assert all(max(step) - min(step) <= 400 for step in filled), "even packs"
    assert sum(map(len, filled)) <= 1.2 * tokens.sum() / 1024, "nearly full packs"


def test_a_budget_below_the_longest_pair_is_refused_with_both_numbers():
    with pytest.raises(ConfigError, match="batch_tokens = 50, but the longest pair has 51 tok.*at least 51"):
        Plan(np.array([9, 51]), epochs=1, batch_pairs=1, batch_tokens=50, seed=0)
