"""The equation of guided decoding: the logits of base and ARMs become one policy.

Only logits pass through here. No tokenizer, no checkpoint and no backend is known.

    scores(v) = log p_base(v) + sum_i w_i * r_i(v)      the guided policy, at temperature 1

    sum         r_i = log p_arm_i                     the paper's (GenARM, arXiv 2410.08193, equation 6)
    contrast    r_i = log p_arm_i - log p_start_i     what ARM i learned, p_start being its start

The temperature is that of the scores (`sampling.py` draws from them). Applied token by token, this
approximates the KL-optimal policy over whole responses, as every product of experts does. With a LoRA on the
base's own weights the start is the base, and contrast at weight w < 1 is the sum at weight w / (1 - w) and
temperature 1 / (1 - w). It is proxy tuning (arXiv 2401.08565) where the start is a smaller model, and
decoding-time realignment (arXiv 2402.02992) where it is the base.
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
    start: Tensor | None = None  # [k, v] the logits of its start, for the k of these m that contrast
    contrast: Tensor | None = None  # [k] index of each of them among the m

    def rewards(self) -> Tensor:
        """What a weight of 1 adds to the base's logits, [m, v] in float32: log p_arm, less log p_start."""
        logits = self.logits.float()
        if self.start is None:
            return logits
        if len(self.start) == len(logits):
            return learned(logits, self.start)
        assert self.contrast is not None
        contrasted = learned(logits[self.contrast], self.start)
        return logits.index_copy(0, self.contrast, contrasted)


def learned(logits: Tensor, start: Tensor) -> Tensor:
    """The logits of an ARM less those of its start, both [..., v], in float32.

    Nothing was learned of a token that the start rules out: log p_arm - log p_start counts as 0 there, and
    the base decides. A start that overflowed is no number, so that it is told and not taken for a token that
    the ARM rules out.
    """
    logits, start = logits.float(), start.float()
    if start.is_cpu and bool(start.sum().isfinite()):  # on a GPU the answer would have to be waited for
        return logits - start
    ruled_out = start == -torch.inf
    difference = logits - start.nan_to_num(nan=torch.nan, posinf=torch.nan, neginf=-torch.inf)
    normalisers = logits.logsumexp(-1, keepdim=True) - start.logsumexp(-1, keepdim=True)
    return torch.where(ruled_out, normalisers, difference)


@dataclass(frozen=True, slots=True)
class Scores:
    """The guided policy for one next token of b requests, in float32 whatever the models compute in."""

    base: Tensor  # [b, v] the base's logits
    guidance: Tensor | None  # [b, v] sum_i w_i * (rewards of ARM i); None where no ARM guides
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
                guidance.addcmul_(arm.rewards(), arm.weights[:, None])
            else:
                guidance.index_add_(0, arm.requests, arm.rewards() * arm.weights[:, None])
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
