"""The equation of guided decoding: the logits of base and ARMs become one policy.

Only logits pass through here. No tokenizer, no checkpoint and no backend is known.

    scores(v) = log p_base(v) + sum_i w_i * log p_arm_i(v)      the guided policy, at temperature 1

The temperature is that of the sum (`sampling.py` draws from it). Applied token by token, this approximates
the KL-optimal policy over whole responses (GenARM, arXiv 2410.08193, equation 6), as every product of experts
does.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class ArmLogits:
    """The logits of one ARM for the m of b requests that it guides."""

    arm: str
    requests: Tensor  # [m] index of each of these requests among the b, ascending
    weights: Tensor  # [m] float32
    logits: Tensor  # [m, v]


@dataclass(frozen=True, slots=True)
class Scores:
    """The guided policy for one next token of b requests, in float32 whatever the models compute in."""

    base: Tensor  # [b, v] the base's logits
    guidance: Tensor | None  # [b, v] sum_i w_i * (logits of ARM i); None where no ARM guides
    total: Tensor  # [b, v] their sum
    full: Tensor  # [b, v] softmax of it

    @classmethod
    def of(cls, base: Tensor, arms: Sequence[ArmLogits]) -> "Scores":
        """Combine the logits of base [b, v] and ARMs.

        Logits stand for log-probabilities: what they lack, a model's normaliser, is the same for all tokens.
        A request that no ARM guides keeps the base's very numbers, so 0 * -inf cannot arise.
        """
        base = base.float()
        if not arms:
            return cls(base, None, base, base.softmax(-1))
        guidance = torch.zeros_like(base)
        for arm in arms:
            if len(arm.requests) == len(base):
                guidance.addcmul_(arm.logits.float(), arm.weights[:, None])
            else:
                guidance.index_add_(0, arm.requests, arm.logits.float() * arm.weights[:, None])
        guidance.clamp_(min=-1e30)  # a token that is ruled out has no part in the KL: 0 * -inf is no number
        total = base + guidance
        return cls(base, guidance, total, total.softmax(-1))

    def measure(self, token: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """log p_base(token), log of the guided policy of it, KL(guided || base) in nats; all [b].

        KL = sum_v p(v) (log p(v) - log p_base(v)) = sum_v p(v) guidance(v) - log Z + log Z_base, where Z and
        Z_base normalise the exponentials of `total` and `base`.
        """
        index = token[:, None]
        if self.guidance is None:
            logprob = self.full.gather(-1, index)[:, 0].log()
            return logprob, logprob, torch.zeros_like(logprob)
        normaliser = self.total.amax(-1) - self.full.amax(-1).log()
        base_logprob = self.base.log_softmax(-1).gather(-1, index)[:, 0]
        shift = torch.linalg.vecdot(self.full, self.guidance)
        divergence = shift - normaliser + self.base.gather(-1, index)[:, 0] - base_logprob
        # Two policies that are all but the same differ by rounding, to either side.
        return base_logprob, self.total.gather(-1, index)[:, 0] - normaliser, divergence.clamp_(min=0)
