"""The ARM objective: what a response's reward is, and how a preference pair trains it. Tensors only.

A reward is the log-probability of the response, r(x, y) = sum_t log pi_r(y_t | x, y_<t), and a pair is fitted
by a Bradley-Terry model of these rewards without a reference model (GenARM, arXiv 2410.08193, section 4.1).
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def token_logps(logits: Tensor, targets: Tensor) -> Tensor:
    """log softmax(logits)[target] in float32; logits [t, v], targets [t] -> [t]."""
    return -F.cross_entropy(logits.float(), targets, reduction="none")


def response_logps(token_logps: Tensor, owner: Tensor, responses: int) -> Tensor:
    """Sum of each response's token log-probabilities; token_logps [t], owner [t] -> [responses].

    `owner` says to which response a token belongs.
    """
    # Summed, not averaged: a response's reward is the sum of its token log-probabilities, so dividing by
    # its length would train another reward, not a steadier one.
    return torch.zeros(responses, dtype=token_logps.dtype, device=token_logps.device).index_add(
        0, owner, token_logps
    )


def preference_loss(chosen: Tensor, rejected: Tensor, *, beta: float) -> Tensor:
    """-log sigmoid(beta * (chosen - rejected)); summed log-probabilities [p] -> losses [p].

    DPO with the reference model struck out: an ARM's log-probability is its reward.
    """
    return -F.logsigmoid(beta * (chosen - rejected))
