"""Response log-probabilities of preference pairs under a causal LM: the fast way, and the model's own.

fast   one row a pair, the prompt once; logits only where a response token is predicted, a few at a time, and
       never kept: the gradient of each log-probability is taken while its logits exist
plain  two padded rows a pair through the model's own forward; for models the fast way does not fit
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from genarm.collate import PADDING, PairBatch, TokenPair, block_mask, collate
from genarm.loss import response_logps, token_logps

if TYPE_CHECKING:
    from transformers import PreTrainedModel

CHUNK = 128  # predicted tokens whose logits exist at one time
TOLERANCE = 0.1  # nats a token; rounding in bfloat16 moves 0.01, a wrong mask or head moves whole nats
EAGER_TOKENS = 512  # longest row for which plain matrix products beat the fused kernel on a CPU
FULL, SLIDING = "full_attention", "sliding_attention"


def pair_logps(model: Any, batch: PairBatch) -> Tensor:
    """log pi(chosen | prompt) and log pi(rejected | prompt), summed over tokens -> [p, 2], float32.

    `model` is a causal LM, or a PEFT model around one.
    """
    if not batch.shared:
        real = (batch.part != PADDING).long()
        logits = model(
            input_ids=batch.input_ids, attention_mask=real, logits_to_keep=batch.predicts, use_cache=False
        ).logits
        logps = token_logps(logits[batch.source], batch.target)
    else:
        base = causal_lm(model)
        hidden = base.get_decoder()(
            input_ids=batch.input_ids,
            position_ids=batch.position_ids,
            attention_mask=_masks(base, batch),
            use_cache=False,
        ).last_hidden_state  # [p, s, d]
        predicting = hidden[batch.predicts][batch.source]  # [t, d]
        logps = _HeadLogps.apply(predicting, batch.target, _head(base), CHUNK)
    return response_logps(logps, batch.owner, 2 * len(batch)).view(-1, 2)


def causal_lm(model: Any) -> "PreTrainedModel":
    """The transformers model itself, with whatever adapters were put into it."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def prepare(model: "PreTrainedModel", pairs: Sequence[TokenPair]) -> bool:
    """Set the attention kernel that suits the rows, and say whether the fast way gives this model's numbers.

    It is tried on one short pair against the model's own forward, so a model with a head, a mask or layers of
    its own kind is found out before it trains.
    """
    config = model.config.get_text_config()
    longest = max(pair.row_tokens for pair in pairs)
    short_on_cpu = model.device.type == "cpu" and longest <= EAGER_TOKENS
    if short_on_cpu or getattr(config, "attn_logit_softcapping", None):
        model.set_attn_implementation("eager")
    kinds = set(getattr(config, "layer_types", None) or ())
    if not getattr(model, "_supports_attention_backend", False) or kinds - {FULL, SLIDING}:
        return False
    first = pairs[0]
    words = [*first.chosen, *first.rejected]
    trial = TokenPair(first.prompt_id, first.prompt[-16:], words[:16], words[-12:])
    with torch.no_grad():
        fast, plain = (
            pair_logps(model, collate([trial], shared=shared).to(model.device)) for shared in (True, False)
        )
    tokens = torch.tensor([[len(trial.chosen), len(trial.rejected)]], device=fast.device)
    return bool(((fast - plain).abs() / tokens < TOLERANCE).all())


def _masks(model: "PreTrainedModel", batch: PairBatch) -> Tensor | dict[str, Tensor]:
    config = model.config.get_text_config()
    window = getattr(config, "sliding_window", None)

    def mask(window: int | None) -> Tensor:
        return block_mask(batch.part, batch.position_ids, model.dtype, window)

    kinds = getattr(config, "layer_types", None)
    if kinds is None:
        return mask(window)
    if SLIDING in kinds:
        return {FULL: mask(None), SLIDING: mask(window)}
    return mask(None)


def _head(model: "PreTrainedModel") -> Callable[[Tensor], Tensor]:
    """Hidden states [n, d] -> logits [n, v], as the model's own forward makes them."""
    project = model.get_output_embeddings()
    cap = getattr(model.config.get_text_config(), "final_logit_softcapping", None)
    return project if cap is None else lambda hidden: torch.tanh(project(hidden) / cap) * cap


class _HeadLogps(torch.autograd.Function):
    """token_logps(head(hidden), targets) without ever holding [t, v]; hidden [t, d] -> [t].

    A token's logits depend on its own hidden state alone, so d logp_t / d hidden_t is taken chunk by chunk in
    the forward pass; backward only scales it. The head is frozen and gets no gradient.
    """

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, targets: Tensor, head: Callable[[Tensor], Tensor], chunk: int
    ) -> Tensor:
        logps, slopes = [], []
        for part, target in zip(hidden.split(chunk), targets.split(chunk), strict=True):
            with torch.set_grad_enabled(ctx.needs_input_grad[0]):
                part = part.detach().requires_grad_(ctx.needs_input_grad[0])
                logp = token_logps(head(part), target)
                if ctx.needs_input_grad[0]:
                    slopes.append(torch.autograd.grad(logp.sum(), part)[0])
            logps.append(logp.detach())
        if slopes:
            ctx.save_for_backward(torch.cat(slopes))
        return torch.cat(logps)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        (slopes,) = ctx.saved_tensors
        return (gradient[:, None] * slopes).to(slopes.dtype), None, None, None
