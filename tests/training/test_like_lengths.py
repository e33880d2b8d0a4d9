"""The order of a training: every row of every epoch once, full batches, and little padding."""

import math
import random
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from genarm.training.like_lengths import by_like_lengths


def test_an_order_by_hand():
    """Two rows a batch: one window sorts all of them, the odd one out is the longest and comes last."""
    order = by_like_lengths([5, 1, 4, 2, 3], 2, 1.0, seed=0)
    assert order in ([1, 3, 4, 2, 0], [4, 2, 1, 3, 0])
    seeds = {tuple(by_like_lengths([5, 1, 4, 2, 3], 2, 1.0, seed=seed)) for seed in range(20)}
    assert len(seeds) == 2, "the batches come in either order"


@given(
    st.lists(st.integers(1, 50), min_size=1, max_size=300),
    st.integers(1, 9),
    st.floats(0.1, 3),
    st.integers(0, 9),
)
def test_every_row_comes_as_often_as_there_are_epochs(lengths, batch, epochs, seed):
    order = by_like_lengths(lengths, batch, epochs, seed)
    assert len(order) == math.ceil(len(lengths) * epochs)
    often = Counter(order)
    assert all(often[row] in (math.floor(epochs), math.ceil(epochs)) for row in range(len(lengths)))
    for start in range(0, len(order) if batch <= len(lengths) else 0, batch):
        assert len(set(order[start : start + batch])) == len(order[start : start + batch]), "none twice"
    assert order == by_like_lengths(lengths, batch, epochs, seed)


def test_every_epoch_reads_every_row_before_the_next_begins():
    """But for the rows that are left over for no full batch, which the next epoch begins with."""
    order = by_like_lengths(list(range(100)), 8, 3.0, seed=0)
    assert set(order[:96]) | set(order[96:200]) == set(range(100)) and len(set(order[:96])) == 96
    assert by_like_lengths([], 8, 1.0, seed=0) == []


def test_little_is_padded_and_no_length_comes_first():
    rng = random.Random(0)
    lengths = [round(rng.lognormvariate(5, 0.6)) for _ in range(1000)]

    def padded(order):
        batches = [order[i : i + 8] for i in range(0, len(order), 8)]
        return sum(len(b) * max(lengths[row] for row in b) for b in batches) / sum(lengths)

    order = by_like_lengths(lengths, 8, 1.0, seed=0)
    assert padded(range(1000)) > 2 and padded(order) < 1.25
    halves = [sum(lengths[row] for row in half) for half in (order[:500], order[500:])]
    assert 0.85 < halves[0] / halves[1] < 1.18
