"""Response log-probabilities of preference pairs under a causal LM, from packed rows or from padded ones.

packed  many pairs in one row, each prompt once
padded  two padded rows a pair; for models that packed rows do not fit

Logits exist only where a response token is predicted, a few at a time, and are never kept: the gradient of
each log-probability is taken while its logits exist (`head.py`).
"""

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from genarm.models import context_of
from genarm.models.finite import not_numbers
from genarm.models.rotary import check_positions
from genarm.training.collate import PADDING, PairBatch, collate
from genarm.training.head import TOLERANCE, head_fits, head_logps, head_of
from genarm.training.loss import response_logps, token_logps
from genarm.training.packed_attention import BLOCKS, FLEX, FULL, SLIDING, attention_inputs, register
from genarm.training.tokens import TokenPair
from genarm.training.transformers_hooks import attention_implementation, supports_custom_attention

if TYPE_CHECKING:
    from transformers import PreTrainedModel

BatchFunction = Callable[[Any, PairBatch], Tensor]  # of a model and a batch, such as pair_logps

log = logging.getLogger(__name__)


def pair_logps(model: Any, batch: PairBatch) -> Tensor:
    """log pi(chosen | prompt) and log pi(rejected | prompt), summed over tokens -> [p, 2], float32.

    `model` is a causal LM, or a PEFT model around one.
    """
    states = predicting_states(model, batch)
    if batch.packed or head_fits(causal_lm(model)):
        logps = head_logps(causal_lm(model), states, batch.target)
    else:
        logps = token_logps(states, batch.target)
    return response_logps(logps, batch.owner, 2 * len(batch)).view(-1, 2)


def predicting_states(model: Any, batch: PairBatch) -> Tensor:
    """What each response token is predicted from: hidden states [t, d].

    Logits [t, v] of padded rows where the model's head alone does not make them of its hidden states.
    """
    if not batch.packed:
        attended = (batch.part != PADDING).long()
        if head_fits(causal_lm(model)):
            states: Tensor = (
                causal_lm(model)
                .get_decoder()(input_ids=batch.input_ids, attention_mask=attended, use_cache=False)
                .last_hidden_state
            )  # [r, s, d]
            return states[batch.predicts][batch.source]
        kept: Tensor = model(
            input_ids=batch.input_ids,
            attention_mask=attended,
            logits_to_keep=batch.predicts,
            use_cache=False,
        ).logits
        return kept[batch.source]
    base = causal_lm(model)
    hidden: Tensor = base.get_decoder()(
        input_ids=batch.input_ids,
        position_ids=batch.position_ids,
        use_cache=False,
        **attention_inputs(base, batch),
    ).last_hidden_state  # [1, s, d]
    return hidden[batch.predicts][batch.source]


def logits(model: Any, batch: PairBatch, states: Tensor) -> Tensor:
    """The logits of some of the `predicting_states` of this batch, in float32 -> [n, v]."""
    hidden = batch.packed or head_fits(causal_lm(model))
    return (head_of(causal_lm(model))(states) if hidden else states).float()


def causal_lm(model: Any) -> "PreTrainedModel":
    """The transformers model itself, adapters included, without PEFT's wrapper."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def prepare(model: "PreTrainedModel", pairs: Sequence[TokenPair]) -> bool:
    """Set the fastest attention that reproduces this model's own numbers; return whether rows may be packed.

    Each is tried on two short pairs against the model's own forward, so that a model with an unusual head,
    mask or layer is noticed before it trains. False leaves the model as it was: its rows are padded then.
    Raises ModelError where these numbers are none, or depend on how long the texts beside are.
    """
    check_positions(model, context_of(model))
    register()
    config = model.config.get_text_config()
    initial = attention_implementation(model)
    # With attention scores capped, only eager computes the cap beside a mask of ours.
    dense = initial if getattr(config, "attn_logit_softcapping", None) is None else "eager"
    fast = FLEX if model.device.type == "cuda" else BLOCKS
    trial = [_short(pair) for pair in (pairs[0], pairs[-1])]
    with torch.no_grad():
        expected = pair_logps(model, collate(trial, packed=False).to(model.device))
    if not expected.isfinite().all():
        raise not_numbers(f"the log-probabilities of {type(model).__name__}", model)
    kinds = set(getattr(config, "layer_types", None) or ())
    if kinds <= {FULL, SLIDING} and supports_custom_attention(model):
        for implementation in (fast, dense):
            if _reproduces(model, implementation, trial, expected):
                if implementation != fast:
                    log.warning(
                        "%s: attention by a dense mask (%s), slower", type(model).__name__, implementation
                    )
                return True
    log.warning("%s: each response in a padded row of its own, slower", type(model).__name__)
    model.set_attn_implementation(initial)
    return False


def _short(pair: TokenPair) -> TokenPair:
    words = [*pair.chosen, *pair.rejected]
    return TokenPair(pair.prompt_id, pair.prompt[-16:], words[:16], words[-12:])


def _reproduces(
    model: "PreTrainedModel", implementation: str, trial: Sequence[TokenPair], expected: Tensor
) -> bool:
    """Set an attention; whether packed rows give the expected log-probabilities [p, 2] with it."""
    try:
        model.set_attn_implementation(implementation)
        with torch.no_grad():
            packed = pair_logps(model, collate(trial).to(model.device))
    except (KeyError, TypeError, ValueError, RuntimeError, ImportError) as error:
        log.info("%s does not serve %s: %s", implementation, type(model).__name__, error)
        return False
    tokens = torch.tensor([[len(p.chosen), len(p.rejected)] for p in trial], device=packed.device)
    return bool(((packed - expected).abs() / tokens < TOLERANCE).all())
