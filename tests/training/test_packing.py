"""Steps are random samples; packs keep to their budget, are even, hold every pair once, and are shared."""

import random
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genarm.errors import ConfigError
from genarm.training.packing import PackedSteps, deal, pack


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
    packed = PackedSteps(np.array(tokens), epochs=epochs, batch_pairs=batch, batch_tokens=most, seed=1)
    total = max(1, round(epochs * len(tokens)))
    steps = [packed[i] for i in range(len(packed))]
    counts = Counter(i for step in steps for p in step for i in p)
    assert counts.total() == total
    assert max(counts.values()) - min(counts.get(i, 0) for i in range(len(tokens))) <= 1
    filled = [[sum(tokens[i] for i in p) for p in step] for step in steps]
    assert all(0 < n <= most for step in filled for n in step)
    sizes = [sum(map(len, step)) for step in steps]
    assert sizes[:-1] == [batch] * (len(sizes) - 1)
    assert sizes[-1] == (total % batch or batch)
    assert packed.tokens == sum(map(sum, filled))


def test_a_step_is_a_random_sample_whatever_the_lengths_are():
    """256 pairs of lengths 20 to 400 in 16 steps: the steps' means spread as those of random samples do."""
    rng = random.Random(0)
    tokens = np.array([rng.randint(20, 400) for _ in range(256)])
    first, again, other = (
        [*PackedSteps(tokens, epochs=1, batch_pairs=16, batch_tokens=1024, seed=seed)] for seed in (0, 0, 1)
    )
    assert first == again != other
    means = [tokens[[i for p in step for i in p]].mean() for step in first]
    assert 0.5 < np.std(means) / (tokens.std() / 4) < 1.5
    filled = [[tokens[p].sum() for p in step] for step in first]
    assert all(max(step) - min(step) <= 400 for step in filled), "even packs"
    assert sum(map(len, filled)) <= 1.2 * tokens.sum() / 1024, "nearly full packs"


def test_a_budget_below_the_longest_pair_is_refused_with_both_numbers():
    with pytest.raises(ConfigError, match="batch_tokens = 50, but the longest pair has 51 tok.*at least 51"):
        PackedSteps(np.array([9, 51]), epochs=1, batch_pairs=1, batch_tokens=50, seed=0)


def test_packs_for_processes_are_a_multiple_of_them():
    """60 tokens in packs of 25 want three; two processes get four, 15 tokens each."""
    tokens = [10, 10, 10, 10, 10, 10]
    assert len(pack(tokens, 25)) == 3
    assert [len(p) for p in pack(tokens, 25, 2)] == [2, 2, 1, 1]
    assert pack([10], 25, 2) == [[0]]  # a pair is never cut


def test_packs_are_dealt_by_tokens_and_in_equal_number():
    packs = [[0], [1], [2], [3]]
    assert deal(packs, [9, 5, 4, 1], 2) == [[[0], [3]], [[1], [2]]]
    assert deal([[0]], [9], 2) == [[[0]], []]


def flat(lists):
    return [i for part in lists for i in part]


def test_a_step_holds_the_same_pairs_for_any_number_of_processes():
    tokens = np.array([random.Random(0).randint(5, 40) for _ in range(30)])
    of_several = [
        PackedSteps(tokens, epochs=1, batch_pairs=7, batch_tokens=64, seed=0, processes=n) for n in (1, 2, 3)
    ]
    for one, two, three in zip(*of_several, strict=True):
        for steps, step in zip(of_several[1:], (two, three), strict=True):
            assert sorted(flat(step)) == sorted(flat(one))
            shares = steps.shares(step)
            assert sorted(i for share in shares for p in share for i in p) == sorted(flat(one))
            assert max(map(len, shares)) - min(map(len, shares)) <= (len(flat(one)) < len(shares) * 2)
