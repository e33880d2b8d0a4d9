"""The ARM objective: what a response's reward is, and how a preference pair trains it. Tensors only.

A reward is the log-probability of the response, r(x, y) = sum_t log pi_r(y_t | x, y_<t), and a pair is fitted
by a Bradley-Terry model of these rewards without a reference model (GenARM, arXiv 2410.08193, section 4.1).
DPO (arXiv 2305.18290) fits log pi_r - log pi_start instead: what training adds to the model it starts from.
"""

from dataclasses import dataclass

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


def preference_loss(
    chosen: Tensor, rejected: Tensor, *, beta: float, margin: float = 0.0, label_smoothing: float = 0.0
) -> Tensor:
    """-(1 - e) log sigmoid(z) - e log sigmoid(-z), z = beta (chosen - rejected) - margin; [p] -> [p].

    DPO with the reference model struck out: an ARM's log-probability is its reward. `margin` is how far the
    chosen reward must lead, as in SimPO (arXiv 2405.14734); e = `label_smoothing` is the share of pairs
    whose labels are assumed to be swapped, as in conservative DPO.
    """
    lead = beta * (chosen - rejected) - margin
    return -(1 - label_smoothing) * F.logsigmoid(lead) - label_smoothing * F.logsigmoid(-lead)


@dataclass(frozen=True, slots=True)
class Objective:
    """What one training minimises: the preference loss and its settings, which `genarm.config` explains."""

    beta: float
    margin: float = 0.0
    label_smoothing: float = 0.0
    length_normalised: bool = False

    def losses(self, logps: Tensor, owner: Tensor, start: Tensor | None = None) -> Tensor:
        """The loss of each pair; logps [p, 2] sums over tokens, owner [t] the response of a token -> [p].

        `start` [p, 2] are the log-probabilities of the model that training started from, in DPO's loss: the
        reward is what exceeds them, so a pair counts from the same place whatever the start prefers.

        With `length_normalised` a response's reward is its mean log-probability a token. Off by default:
        the sum is the paper's objective and what decoding adds up, token by token; a mean trains another
        reward than that, but does not disfavour a long response for its length alone. In DPO's loss, both
        log-probabilities are divided.
        """
        if start is not None:
            logps = logps - start
        if self.length_normalised:
            tokens = torch.bincount(owner, minlength=logps.numel()).view(logps.shape)
            logps = logps / tokens
        return preference_loss(
            *(logps[:, 0], logps[:, 1]),
            beta=self.beta,
            margin=self.margin,
            label_smoothing=self.label_smoothing,
        )
