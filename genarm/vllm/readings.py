"""What base and ARMs say of the next token in the step under way, between the model and the sampler.

    logits(v) += sum_i w_i * r_i(v),    r_i = log p_arm_i, under contrast less log p_base

A LoRA's start is the base, so contrast takes its weight off the base's own row. The rows are the models' own:
what vLLM masked or biased before has no part in an ARM's reward.
"""

from weakref import WeakValueDictionary

import torch
from torch import Tensor
from vllm.config import VllmConfig

from genarm.vllm.rewards import Asked

_READINGS: "WeakValueDictionary[int, Readings]" = WeakValueDictionary()


class Readings:
    """The rows of one engine's guided model: put there by its head, taken once by its logits processor."""

    def __init__(self, names: tuple[str, ...], tokens: int | None = None) -> None:
        self.names = names  # the ARMs, in the order of the rows
        self.tokens = tokens  # ids from here on only pad the vocabulary
        self.rows: Tensor | None = None  # [rows, 1 + n, v] the base and its n ARMs
        self.asked: Asked | None = None  # of the step under way: whose rewards are told
        self.guided_rows = 0  # how many rows were guided so far

    def guide(self, logits: Tensor, coefficients: Tensor, asked: Tensor) -> Tensor:
        """Add to logits [rows, v], in place, the rows times their coefficients [rows, 1 + n + 1].

        `asked` [requests, 1 + n + 1] has the coefficients of these requests on the host: what none of them
        asks for, such as the base's own row where nobody contrasts, is not read. The last column says who is
        told the rewards. Raises RuntimeError where the rows are not those of these logits: guidance would
        silently be off, or another request's.
        """
        rows, self.rows = self.rows, None
        if rows is None or rows.shape[0] != logits.shape[0] or coefficients.shape[0] != logits.shape[0]:
            raise RuntimeError(
                f"{logits.shape[0]} rows of logits, {coefficients.shape[0]} of weights, and of base and ARMs "
                f"{'none' if rows is None else rows.shape[0]}: guided decoding does not work with this "
                "setting of vLLM"
            )
        weights, told = asked[:, :-1], asked[:, -1].nonzero().flatten()
        for reader in weights.any(0).nonzero().flatten().tolist():
            factor = coefficients[:, reader, None]
            # a row without weight keeps the base's very numbers, whatever an ARM overflowed to
            logits += torch.where(factor == 0, 0.0, factor * rows[:, reader].float())
        self.guided_rows += int(weights.any(1).sum())
        self.asked = None
        if len(told):
            if len(asked) != len(logits):
                raise RuntimeError("rewards are told where a step draws one token of each request")
            which = told.to(logits.device)
            self.asked = Asked.of(which, rows[..., : self.tokens], coefficients[which, :-1])
        return logits


def open_readings(vllm_config: VllmConfig, names: tuple[str, ...], tokens: int | None = None) -> Readings:
    """The readings of a new model, which has to keep them: they are found as long as it lives."""
    _READINGS[_engine(vllm_config)] = readings = Readings(names, tokens)
    return readings


def readings_of(vllm_config: VllmConfig) -> Readings:
    """The readings of this engine's model. Raises RuntimeError where that is not a guided one."""
    if (readings := _READINGS.get(_engine(vllm_config))) is None:
        raise RuntimeError(
            'the model is not a guided one: --hf-overrides \'{"architectures": ["GuidedLlamaForCausalLM"]}\''
        )
    return readings


def _engine(vllm_config: VllmConfig) -> int:
    """What model and logits processors of one engine have in common: the table of its attention layers."""
    return id(vllm_config.compilation_config.static_forward_context)
