"""The equation, worked by hand."""

import pytest
import torch
from torch.testing import assert_close

from genarm.decoding.guidance import ArmLogits, Scores


def logs(rows):
    return torch.tensor(rows).log()


def arm_logits(requests, weights, chances, shift=0.0):
    """The logits of an ARM; they may be off by a constant, which no probability shows."""
    return ArmLogits("a", torch.tensor(requests), torch.tensor(weights), logs(chances) + shift)


def test_an_arm_can_outvote_the_base():
    """base (.2, .8), ARM (.8, .2), weight 1: .2 * .8 = .8 * .2, so the two tokens tie."""
    scores = Scores.of(logs([[0.2, 0.8]]), [arm_logits([0], [1.0], [[0.8, 0.2]], shift=5.0)])
    assert_close(scores.full, torch.tensor([[0.5, 0.5]]))


def test_each_request_has_its_own_weights_and_only_its_own_arms():
    base = logs([[0.2, 0.8], [0.5, 0.5], [0.1, 0.9]])
    first, second = (
        arm_logits([0, 2], [1.0, 2.0], [[0.8, 0.2], [0.4, 0.6]]),
        arm_logits([2], [0.5], [[0.9, 0.1]]),
    )
    everyone = arm_logits([0, 1, 2], [0.0, 0.0, 1.0], [[0.5, 0.5], [0.5, 0.5], [0.3, 0.7]])
    scores = Scores.of(base, [first, second, everyone])
    assert torch.equal(scores.total[1], base[1])
    assert_close(scores.total[0].exp(), torch.tensor([0.2 * 0.8, 0.8 * 0.2]))
    assert_close(
        scores.total[2].exp(), torch.tensor([0.1 * 0.4**2 * 0.9**0.5 * 0.3, 0.9 * 0.6**2 * 0.1**0.5 * 0.7])
    )
    assert_close(base, logs([[0.2, 0.8], [0.5, 0.5], [0.1, 0.9]]))  # the base's own numbers stay


@pytest.mark.parametrize(
    ("base", "arm", "token", "guided", "kl"),
    [
        # .5 ln(.5/.2) + .5 ln(.5/.8) = .2231, with a token that is impossible to both
        ([0.2, 0.8, 0.0], [0.8, 0.2, 0.0], 1, 0.5, 0.22314),
        # impossible to the ARM alone: (.2 * .5, 0, .5 * .5) / .35 = (2/7, 0, 5/7), KL ln(1/.7)
        ([0.2, 0.3, 0.5], [0.5, 0.0, 0.5], 0, 2 / 7, 0.35667),
        # impossible to the base alone: (.25, .25, 0) / .5
        ([0.5, 0.5, 0.0], [0.2, 0.2, 0.6], 1, 0.5, 0.0),
    ],
)
def test_log_probabilities_and_divergence_by_hand(base, arm, token, guided, kl):
    scores = Scores.of(logs([base]) + 7, [arm_logits([0], [1.0], [arm], shift=-3.0)])
    base_logprob, guided_logprob, divergence = scores.measure(torch.tensor([token]))
    assert_close(base_logprob.exp(), torch.tensor([base[token]]))
    assert_close(guided_logprob.exp(), torch.tensor([guided]))
    assert_close(divergence, torch.tensor([kl]), atol=1e-5, rtol=0)


def test_without_an_arm_the_guided_policy_is_the_base_to_the_last_digit():
    base = logs([[0.2, 0.8], [0.5, 0.5]]) + 4
    base_logprob, guided_logprob, divergence = Scores.of(base, []).measure(torch.tensor([1, 0]))
    assert torch.equal(base_logprob, guided_logprob) and torch.equal(divergence, torch.zeros(2))
    assert_close(base_logprob, logs([0.8, 0.5]))


def test_divergence_is_never_below_zero():
    """An ARM to which all tokens are the same changes nothing; what is left is rounding, to either side."""
    base = 4 * torch.randn(64, 5000, generator=torch.Generator().manual_seed(0))
    flat = ArmLogits("a", torch.arange(64), torch.full((64,), 3.0), torch.full((64, 5000), 1.7))
    _, _, divergence = Scores.of(base, [flat]).measure(base.argmax(-1))
    assert (divergence >= 0).all() and (divergence < 1e-5).all()


def test_halves_are_combined_in_single_precision():
    """1/3 of 0.1 is no bfloat16 number; 300 tokens of it show what a sum in bfloat16 would lose."""
    base, arm = torch.zeros(1, 300).bfloat16(), torch.linspace(0, 1, 300)[None].bfloat16()
    scores = Scores.of(base, [ArmLogits("a", torch.tensor([0]), torch.tensor([1 / 3]), arm)])
    assert scores.total.dtype == scores.full.dtype == torch.float32
    assert_close(scores.total, arm.float() / 3)
