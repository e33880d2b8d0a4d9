"""The equation, the draw and the request, worked by hand."""

import pytest
import torch
from torch.testing import assert_close

from genarm.decoding.guidance import (
    Group,
    GuidedRequest,
    check_servable,
    combine,
    divergence,
    draw,
    narrow,
    random_stream,
    survivors,
)
from genarm.errors import RequestError


def logs(rows):
    return torch.tensor(rows).log()


def group(owner, weights, arm="a"):
    return Group(arm, torch.tensor(owner), torch.tensor(weights))


def test_an_arm_can_outvote_the_base():
    """base (.2, .8), ARM (.8, .2), weight 1: .2 * .8 = .8 * .2, so the two tokens tie."""
    scores = combine(logs([[0.2, 0.8]]), [logs([[0.8, 0.2]])], [group([0], [1.0])])
    assert_close(scores.softmax(-1), torch.tensor([[0.5, 0.5]]))


def test_each_request_has_its_own_weights_and_only_its_own_arms():
    base = logs([[0.2, 0.8], [0.5, 0.5], [0.1, 0.9]])
    first, second = logs([[0.8, 0.2], [0.4, 0.6]]), logs([[0.9, 0.1]])
    scores = combine(base, [first, second], [group([0, 2], [1.0, 2.0]), group([2], [0.5])])
    assert torch.equal(scores[1], base[1])
    assert_close(scores[0].exp(), torch.tensor([0.2 * 0.8, 0.8 * 0.2]))
    assert_close(scores[2].exp(), torch.tensor([0.1 * 0.4**2 * 0.9**0.5, 0.9 * 0.6**2 * 0.1**0.5]))
    assert_close(base, logs([[0.2, 0.8], [0.5, 0.5], [0.1, 0.9]]))  # the base's own numbers stay


def test_divergence_by_hand_and_with_an_impossible_token():
    """guided (.5, .5) against base (.2, .8): .5 ln(.5/.2) + .5 ln(.5/.8) = 0.2231."""
    base = logs([[0.2, 0.8, 0.0]])
    scores = combine(base, [logs([[0.8, 0.2, 0.0]])], [group([0], [1.0])])
    assert_close(divergence(scores, base), torch.tensor([0.22314]), atol=1e-5, rtol=0)


def test_divergence_is_never_below_zero():
    """Equal policies differ by some 1e-7, which rounding alone makes, to either side."""
    base = (4 * torch.randn(64, 5000, generator=torch.Generator().manual_seed(0))).log_softmax(-1)
    found = divergence(base, base)
    assert (found >= 0).all() and (found < 1e-5).all()


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
    scores = narrow(logs([[0.2, 0.4, 0.1, 0.3]]) + 3, torch.tensor([top_k]), torch.tensor([top_p]))
    assert scores[0].isfinite().nonzero().flatten().tolist() == kept


def test_limits_are_each_rows_own_and_ties_with_the_last_kept_stay():
    rows = logs([[0.25, 0.25, 0.25, 0.25], [0.1, 0.2, 0.3, 0.4], [0.1, 0.2, 0.3, 0.4]])
    scores = narrow(rows, torch.tensor([1, 1, 0]), torch.tensor([1.0, 1.0, 0.5]))
    assert scores.isfinite().tolist() == [[True] * 4, [False] * 3 + [True], [False, False, True, True]]


def test_top_p_looks_beyond_the_first_tokens_where_the_distribution_is_flat():
    scores = torch.linspace(0, 1e-3, 2000)[None]
    kept = narrow(scores, torch.tensor([0]), torch.tensor([0.9])).isfinite()
    assert kept.sum() == 1800 and kept[0, -1800:].all()


@pytest.mark.parametrize(
    ("u", "token"), [(0.0, 1), (0.24, 1), (0.26, 2), (0.999, 4), (1 - 2**-53, 4)]
)  # (0, .25, .25, 0, .5, 0)
def test_a_draw_inverts_the_cumulative_distribution(u, token):
    scores = logs([[0.0, 0.25, 0.25, 0.0, 0.5, 0.0]])
    one, nothing = torch.ones(1), torch.zeros(1, dtype=torch.long)
    assert draw(scores, one, nothing, one, torch.tensor([u], dtype=torch.float64)).tolist() == [token]


def test_temperature_is_that_of_the_sum_and_zero_takes_the_best():
    """At temperature 1/2 the chances (.2, .8) become (.04, .64) / .68: the first ends at .0588."""
    scores = logs([[0.2, 0.8]]).expand(4, 2)
    temperature = torch.tensor([1.0, 0.5, 0.5, 0.0])
    u = torch.tensor([0.1, 0.058, 0.059, 0.1], dtype=torch.float64)
    tokens = draw(scores, temperature, torch.zeros(4, dtype=torch.long), torch.ones(4), u)
    assert tokens.tolist() == [0, 0, 1, 1]


def test_a_stream_depends_on_seed_and_place_alone():
    long = random_stream(7, 100)
    assert torch.equal(random_stream(7, 10), long[:10])
    assert not torch.equal(random_stream(8, 10), long[:10])
    assert 0.4 < float(long.mean()) < 0.6


def test_survivors_keep_their_order_and_learn_their_new_owner():
    rows, owner = survivors(torch.tensor([0, 2, 3]), torch.tensor([1, 2, 3]), 4)
    assert (rows.tolist(), owner.tolist()) == ([1, 2], [1, 2])


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"prompt": ()}, "prompt is empty"),
        ({"weights": {"a": -1.0}}, "weight of ARM 'a' is -1.0"),
        ({"weights": {"a": float("nan")}}, "weight of ARM 'a' is nan"),
        ({"temperature": -0.1}, "temperature is -0.1"),
        ({"top_p": 0.0}, "top_p is 0.0"),
        ({"top_k": -1}, "top_k is -1"),
        ({"max_new_tokens": 0}, "max_new_tokens is 0"),
        ({"stop": ("",)}, "stop string is empty"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused(wrong, says):
    with pytest.raises(RequestError, match=says):
        GuidedRequest(**{"prompt": (1,), **wrong})


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        (GuidedRequest((1,), {"c": 1.0}), "request 1 names ARM 'c'.*loaded ARMs: a, b"),
        (GuidedRequest((1,) * 30, max_new_tokens=3), "request 1: 30 prompt tokens and 3 new .*context of 32"),
        (GuidedRequest((1, 99)), r"request 1: .*\[1, 99\], the tokenizer has 10"),
    ],
)
def test_a_request_that_the_decoder_cannot_serve_is_named(request_, says):
    fine = GuidedRequest((1,) * 30, {"a": 1.0, "b": 0.0}, max_new_tokens=2)
    with pytest.raises(RequestError, match=says):
        check_servable([fine, request_], ["a", "b"], context=32 if len(request_.prompt) > 2 else 99, vocab=10)
