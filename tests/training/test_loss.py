"""The objective, with numbers worked by hand."""

import math

import torch
from torch.testing import assert_close

from genarm.training.loss import Objective, preference_loss, response_logps, token_logps


def test_a_token_is_rewarded_by_its_log_probability():
    """Logits (0, ln 3): probabilities 1/4 and 3/4."""
    logits = torch.tensor([[0.0, math.log(3)], [0.0, math.log(3)]])
    assert_close(token_logps(logits, torch.tensor([0, 1])), torch.tensor([0.25, 0.75]).log())


def test_log_probabilities_are_float32_whatever_the_model_is():
    logits = torch.tensor([[0.0, 8.0]], dtype=torch.bfloat16)
    found = token_logps(logits, torch.tensor([1]))
    assert_close(found, torch.tensor([-math.log1p(math.exp(-8))]), rtol=1e-3, atol=0)


def test_a_response_sums_its_own_tokens_and_no_others():
    """Response 0 owns -1 and -2, response 1 owns -4, response 2 nothing."""
    found = response_logps(torch.tensor([-1.0, -4.0, -2.0]), torch.tensor([0, 1, 0]), 3)
    assert found.tolist() == [-3, -4, 0]


def test_the_loss_of_a_pair():
    """Margin ln 3 / beta: sigmoid(ln 3) = 3/4. Margin 0: sigmoid(0) = 1/2."""
    beta = 0.5
    chosen, rejected = torch.tensor([math.log(3) / beta - 7, -7.0]), torch.tensor([-7.0, -7.0])
    assert_close(
        preference_loss(chosen, rejected, beta=beta), torch.tensor([-math.log(3 / 4), -math.log(1 / 2)])
    )


def test_its_slope_pushes_chosen_up_and_rejected_down():
    """d loss / d chosen = -beta * (1 - sigmoid(beta * margin)) = -0.1 / 2 at margin 0."""
    chosen, rejected = torch.tensor([-5.0], requires_grad=True), torch.tensor([-5.0], requires_grad=True)
    preference_loss(chosen, rejected, beta=0.1).sum().backward()
    assert_close(chosen.grad, torch.tensor([-0.05]))
    assert_close(rejected.grad, torch.tensor([0.05]))


def test_an_extreme_margin_stays_finite():
    found = preference_loss(torch.tensor([-9000.0, 9000.0]), torch.tensor([9000.0, -9000.0]), beta=0.1)
    assert_close(found, torch.tensor([1800.0, 0.0]))


def test_a_margin_is_what_the_chosen_reward_shall_lead_by():
    """beta * 4 - margin = 0.5 * 4 - 2 = 0: sigmoid 1/2, though the chosen response is far ahead."""
    chosen, rejected = torch.tensor([-3.0]), torch.tensor([-7.0])
    assert_close(preference_loss(chosen, rejected, beta=0.5, margin=2.0), torch.tensor([math.log(2)]))


def test_smoothed_labels_count_the_swapped_pair_by_its_share():
    """Lead ln 3: 0.9 * -ln(3/4) + 0.1 * -ln(1/4). Least where sigmoid is 0.9: at a lead of ln 9."""
    chosen = torch.tensor([math.log(3), math.log(9)], requires_grad=True)
    found = preference_loss(chosen, torch.zeros(2), beta=1.0, label_smoothing=0.1)
    assert_close(found[0].item(), -0.9 * math.log(3 / 4) - 0.1 * math.log(1 / 4))
    found.sum().backward()
    assert chosen.grad[0] < -0.1 and abs(chosen.grad[1]) < 1e-6


def test_normalised_by_length_a_response_is_worth_its_mean_token():
    """Sums -6 over 2 tokens and -4 over 4: means -3 and -1, so the shorter one loses what its sum would."""
    logps, owner = torch.tensor([[-4.0, -6.0]]), torch.tensor([0, 0, 0, 0, 1, 1])
    assert_close(Objective(1.0).losses(logps, owner), preference_loss(logps[:, 0], logps[:, 1], beta=1.0))
    found = Objective(1.0, margin=2.0, length_normalised=True).losses(logps, owner)
    assert_close(found, torch.tensor([math.log(2)]))  # -1 - -3 - 2 = 0
