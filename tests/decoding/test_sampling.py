"""From scores to a token, worked by hand: temperature, top-k, top-p, one uniform number a draw."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from genarm.decoding.sampling import DRAWS, BatchSampling, distribution, draw, narrow, random_stream


def logs(rows):
    return torch.tensor(rows).log()


def sampling(temperature=None, top_k=None, top_p=None):
    """As many requests as the longest list; what is not given cuts nothing."""
    n = max(len(given) for given in (temperature, top_k, top_p) if given)
    return BatchSampling.of(
        np.array(temperature or [1.0] * n, dtype=np.float32),
        np.array(top_k or [0] * n),
        np.array(top_p or [1.0] * n, dtype=np.float32),
        torch.device("cpu"),
    )


@pytest.mark.parametrize(
    ("top_k", "top_p", "kept"),
    [
        (0, 1.0, [0, 1, 2, 3]),
        (2, 1.0, [1, 3]),
        (9, 1.0, [0, 1, 2, 3]),
        (0, 0.39, [1]),
        (0, 0.41, [1, 3]),
        (0, 0.71, [0, 1, 3]),
        (2, 0.58, [1, 3]),  # of (.4, .3) renormalised .571 falls short of .58
        (2, 0.57, [1]),
    ],
)
def test_top_k_then_top_p(top_k, top_p, kept):
    chances = torch.tensor([[0.2, 0.4, 0.1, 0.3]])
    narrowed = narrow(chances, sampling(top_k=[top_k], top_p=[top_p]))[0]
    assert narrowed.nonzero().flatten().tolist() == kept
    assert torch.equal(narrowed[kept], chances[0, kept])


def test_limits_are_each_rows_own_and_ties_with_the_last_kept_stay():
    rows = torch.tensor([[0.25] * 4, [0.1, 0.2, 0.3, 0.4], [0.1, 0.2, 0.3, 0.4], [0.3, 0.3, 0.3, 0.1]])
    narrowed = narrow(rows, sampling(top_k=[1, 1, 0, 0], top_p=[1.0, 1.0, 0.5, 0.3]))
    assert (narrowed > 0).tolist() == [
        [True] * 4,
        [False, False, False, True],
        [False, False, True, True],
        [True, True, True, False],
    ]


@pytest.mark.parametrize(("vocab", "kept"), [(2000, 1800), (90, 81)])
def test_top_p_looks_beyond_the_first_tokens_where_the_distribution_is_flat(vocab, kept):
    """Beside it a row that its first token decides: each is as it would be alone."""
    flat = torch.linspace(0, 1e-3, vocab).softmax(-1)
    steep = torch.linspace(0, 50 * vocab, vocab).softmax(-1)
    both = narrow(torch.stack((flat, steep)), sampling(top_p=[0.9, 0.9])) > 0
    assert both[0].sum() == kept and both[0, -kept:].all()
    assert both[1].nonzero().flatten().tolist() == [vocab - 1]
    assert torch.equal(narrow(flat[None], sampling(top_p=[0.9]))[0] > 0, both[0])


def test_temperature_is_that_of_the_sum_and_zero_takes_the_best():
    """At temperature 1/2 the chances (.2, .8) become (.04, .64) / .68 = (.0588, .9412)."""
    scores = logs([[0.2, 0.8]]).expand(4, 2) + 3
    chances = distribution(scores, sampling(temperature=[1.0, 0.5, 2.0, 0.0]))
    half = 0.2**0.5 / (0.2**0.5 + 0.8**0.5)
    assert_close(
        chances, torch.tensor([[0.2, 0.8], [0.04 / 0.68, 0.64 / 0.68], [half, 1 - half], [0.0, 1.0]])
    )


def test_temperature_comes_before_the_cuts_and_does_not_move_the_best():
    """(.2, .4, .1, .3) at 1/2 is (4, 16, 1, 9) / 30: top-p of .55 now needs two tokens, .5 only one."""
    scores = logs([[0.2, 0.4, 0.1, 0.3]]).expand(3, 4)
    chances = distribution(
        scores, sampling(temperature=[0.5, 0.5, 0.0], top_p=[0.55, 0.5, 0.5], top_k=[0, 0, 1])
    )
    assert_close(chances, torch.tensor([[0, 16, 0, 9], [0, 16, 0, 0], [0, 30, 0, 0]]) / 30)


def test_chances_that_are_at_hand_are_taken_where_no_temperature_changes_them():
    scores = torch.randn(2, 50, generator=torch.Generator().manual_seed(1))
    full = scores.softmax(-1)
    asked = sampling(temperature=[1.0, 0.0], top_k=[4, 0], top_p=[0.9, 1.0])
    assert torch.equal(distribution(scores, asked, full), distribution(scores, asked))
    assert distribution(scores, sampling(temperature=[1.0, 1.0]), full) is full
    tempered = sampling(temperature=[0.3, 1.0])
    assert torch.equal(distribution(scores, tempered, full), distribution(scores, tempered))


@pytest.mark.parametrize(
    ("u", "token"), [(0.0, 1), (0.24, 1), (0.26, 2), (0.999, 4), (1 - 2**-53, 4)]
)  # (0, .25, .25, 0, .5, 0)
def test_a_draw_inverts_the_cumulative_distribution(u, token):
    chances = torch.tensor([[0.0, 0.25, 0.25, 0.0, 0.5, 0.0]])
    for total in (1.0, 0.37):  # a draw divides by the sum
        assert draw(chances * total, torch.tensor([u], dtype=torch.float64)).tolist() == [token]


@pytest.mark.parametrize("vocab", [1, 127, 128, 129, 261, 1000])
def test_a_draw_by_blocks_is_the_draw_token_by_token(vocab):
    """Most tokens are ruled out, whole blocks too, as after a cut."""
    generator = torch.Generator().manual_seed(vocab)
    chances = torch.rand(200, vocab, generator=generator) ** 8
    chances *= torch.rand(200, vocab, generator=generator) < 0.05
    chances[torch.arange(200), torch.randint(vocab, (200,), generator=generator)] += 1e-3
    u = torch.rand(200, dtype=torch.float64, generator=generator)
    u[:2] = torch.tensor([0.0, 1 - 2**-53])
    drawn = draw(chances, u)
    reached = chances.double().cumsum(-1)
    # Float32 sums of a block may differ in their last digit from those of its tokens in double.
    before, after = reached - chances, reached
    token, target = drawn[:, None], u * reached[:, -1]
    assert (chances.gather(-1, token) > 0).all()
    assert (before.gather(-1, token)[:, 0] <= target + 1e-6).all()
    assert (after.gather(-1, token)[:, 0] >= target - 1e-6).all()
    assert (drawn == torch.searchsorted(reached, target[:, None], right=True)[:, 0]).float().mean() > 0.98


def test_scores_that_are_not_finite_still_give_a_token():
    tokens = draw(torch.full((1, 261), torch.nan), torch.tensor([0.5], dtype=torch.float64))
    assert 0 <= int(tokens) < 261


def test_a_stream_depends_on_seed_and_position_alone():
    long = random_stream(7, 100)
    assert long.shape == (100, DRAWS) and long.dtype == np.float64
    assert np.array_equal(random_stream(7, 10), long[:10])
    assert not np.isin(random_stream(8, 10), long).any()
    assert len(np.unique(long)) == long.size and (abs(long.mean(0) - 0.5) < 0.1).all()
    assert random_stream(2**64 - 1, 1).shape == (1, DRAWS)
