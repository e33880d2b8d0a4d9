"""The equation, worked by hand."""

import dataclasses

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


@pytest.mark.parametrize(
    ("base", "arm", "start", "guided", "kl"),
    [
        # weight 1: (.2 * .8/.2, .8 * .2/.8) = the ARM, KL .8 ln 4 + .2 ln(1/4) = .6 ln 4
        ([0.2, 0.8], [0.8, 0.2], [0.2, 0.8], [0.8, 0.2], 0.83178),
        # another start: (.2 * .8/.4, .8 * .2/.6) = (.4, .2667) / .6667; KL .6 ln 3 - .4 ln 2
        ([0.2, 0.8], [0.8, 0.2], [0.4, 0.6], [0.6, 0.4], 0.38191),
        # an ARM that learned nothing; a token that both rule out is the base's to give
        ([0.2, 0.3, 0.5], [0.5, 0.0, 0.5], [0.5, 0.0, 0.5], [0.2, 0.3, 0.5], 0.0),
        # one that the ARM alone rules out: (.2 * 2, 0, .5) / .9; KL (4/9) ln(20/9) + (5/9) ln(10/9)
        ([0.2, 0.3, 0.5], [0.5, 0.0, 0.5], [0.25, 0.25, 0.5], [4 / 9, 0.0, 5 / 9], 0.41342),
        # and one that the base rules out, which is its start
        ([0.5, 0.5, 0.0], [0.25, 0.75, 0.0], [0.5, 0.5, 0.0], [0.25, 0.75, 0.0], 0.13081),
    ],
)
def test_contrast_by_hand(base, arm, start, guided, kl):
    """Logits, so each model's may be off by a constant of its own."""
    contrasted = dataclasses.replace(
        arm_logits([0], [1.0], [arm], shift=-3.0), start=logs([start]) + 2, contrast=torch.tensor([0])
    )
    scores = Scores.of(logs([base]) + 7, [contrasted])
    assert_close(scores.full, torch.tensor([guided]))
    base_logprob, guided_logprob, divergence = scores.measure(torch.tensor([0]))
    assert_close(base_logprob.exp(), torch.tensor([base[0]]))
    assert_close(guided_logprob.exp(), torch.tensor([guided[0]]))
    assert_close(divergence, torch.tensor([kl]), atol=2e-5, rtol=0)


def test_requests_that_contrast_leave_the_others_their_very_numbers():
    """Of three requests the second contrasts, and its start rules a token out."""
    base = torch.randn(3, 5, generator=torch.Generator().manual_seed(0))
    arm = ArmLogits("a", torch.arange(3), torch.tensor([0.3, 0.3, 0.7]), base.flip(-1).log_softmax(-1))
    start = torch.tensor([[1.0, 2.0, -torch.inf, 0.0, 1.0]]).log_softmax(-1)
    mixed = Scores.of(base, [dataclasses.replace(arm, start=start, contrast=torch.tensor([1]))])
    summed = Scores.of(base, [arm])
    assert torch.equal(mixed.total[[0, 2]], summed.total[[0, 2]])
    want = base[1] + 0.3 * (arm.logits[1] - start[0])
    want[2] = base[1, 2]
    assert_close(mixed.total[1], want)


def test_a_start_that_is_no_number_is_told():
    for broken in (torch.inf, torch.nan):
        start = torch.tensor([[1.0, broken]])
        arm = dataclasses.replace(
            arm_logits([0], [1.0], [[0.5, 0.5]]), start=start, contrast=torch.tensor([0])
        )
        assert not torch.isfinite(Scores.of(logs([[0.5, 0.5]]), [arm]).measure(torch.tensor([0]))[2]).all()


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
