"""Response log-probabilities of preference pairs under a causal LM, from packed rows or from padded ones.

packed  many pairs in one row, each prompt once; logits only where a response token is predicted, a few at a
        time, and never kept: the gradient of each log-probability is taken while its logits exist
padded  two padded rows a pair through the model's own forward; for models that packed rows do not fit
"""

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from genarm.models import context_of
from genarm.models.finite import not_numbers
from genarm.models.rotary import check_positions
from genarm.training.collate import PADDING, PairBatch, collate
from genarm.training.loss import response_logps, token_logps
from genarm.training.packed_attention import BLOCKS, FLEX, FULL, SLIDING, attention_inputs, register
from genarm.training.tokens import TokenPair
from genarm.training.transformers_hooks import attention_implementation, supports_custom_attention

if TYPE_CHECKING:
    from transformers import PreTrainedModel

BatchFunction = Callable[[Any, PairBatch], Tensor]  # of a model and a batch, such as pair_logps

CHUNK = 128  # predicted tokens whose logits exist at one time, on a CPU
TRAINED_CHUNK = 512  # the same for a head that trains: each chunk adds to its full gradient
SPLIT_ON = {"cuda"}  # where padded rows are scored from hidden states if they can be
GPU_SHARE = 64  # this part of a GPU's memory may be logits of one chunk
LOGIT_BYTES = 16  # of a logit in a chunk: in the model's precision, in float32, their softmax, its gradient
TOLERANCE = 0.1  # nats a token; rounding in bfloat16 moves 0.01, a wrong mask or head moves whole nats

# Models on a GPU whose padded rows need not hold [tokens, v] logits: their head alone gives their numbers.
_split: "WeakSet[PreTrainedModel]" = WeakSet()

log = logging.getLogger(__name__)


def pair_logps(model: Any, batch: PairBatch) -> Tensor:
    """log pi(chosen | prompt) and log pi(rejected | prompt), summed over tokens -> [p, 2], float32.

    `model` is a causal LM, or a PEFT model around one.
    """
    states = predicting_states(model, batch)
    if batch.packed or _split_head(causal_lm(model)):
        logps = _head_logps(causal_lm(model), states, batch.target)
    else:
        logps = token_logps(states, batch.target)
    return response_logps(logps, batch.owner, 2 * len(batch)).view(-1, 2)


def predicting_states(model: Any, batch: PairBatch) -> Tensor:
    """What each response token is predicted from: hidden states [t, d]; of padded rows, logits [t, v].

    On a GPU, hidden states of padded rows too, where the model's head makes its logits of them.
    """
    if not batch.packed:
        attended = (batch.part != PADDING).long()
        if _split_head(causal_lm(model)):
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
    hidden = batch.packed or _split_head(causal_lm(model))
    return (_head(causal_lm(model))(states) if hidden else states).float()


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
    if model.device.type in SPLIT_ON:
        _try_to_split(model, trial, expected)
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


def _split_head(model: "PreTrainedModel") -> bool:
    return model in _split


def _try_to_split(model: "PreTrainedModel", trial: Sequence[TokenPair], expected: Tensor) -> None:
    """Score padded rows from hidden states from now on, if that gives the expected numbers [p, 2]."""
    _split.add(model)
    try:
        with torch.no_grad():
            found = pair_logps(model, collate(trial, packed=False).to(model.device))
        tokens = torch.tensor([[len(p.chosen), len(p.rejected)] for p in trial], device=found.device)
        fits = bool(((found - expected).abs() / tokens < TOLERANCE).all())
    except (AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
        log.info("padded rows of %s take its own logits: %s", type(model).__name__, error)
        fits = False
    if not fits:
        _split.discard(model)


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


def _head(model: "PreTrainedModel") -> Callable[[Tensor], Tensor]:
    """Hidden states [n, d] -> logits [n, v], as the model's own forward makes them."""
    project = model.get_output_embeddings()
    cap = getattr(model.config.get_text_config(), "final_logit_softcapping", None)
    return project if cap is None else lambda hidden: torch.tanh(project(hidden) / cap) * cap


def _head_logps(model: "PreTrainedModel", hidden: Tensor, targets: Tensor) -> Tensor:
    """token_logps(head(hidden), targets) without ever holding [t, v]; hidden [t, d] -> [t]."""
    head = _head(model)
    trains = any(p.requires_grad for p in model.get_output_embeddings().parameters())
    if not (trains and torch.is_grad_enabled()):
        return _HeadLogps.apply(hidden, targets, head, chunk_rows(model, hidden.device, CHUNK))

    # A head's own gradient weighs each token by its loss, known only on the way back: computed again there.
    def logps(part: Tensor, target: Tensor) -> Tensor:
        return token_logps(head(part), target)

    rows = chunk_rows(model, hidden.device, TRAINED_CHUNK)
    parts = zip(hidden.split(rows), targets.split(rows), strict=True)
    return torch.cat([checkpoint(logps, *part, use_reentrant=False) for part in parts])


def chunk_rows(model: "PreTrainedModel", device: torch.device, on_cpu: int) -> int:
    """How many tokens' logits may exist at one time: on a GPU by its memory, the same on every run on it."""
    if device.type != "cuda":
        return on_cpu
    total: int = torch.cuda.get_device_properties(device).total_memory
    rows = total // GPU_SHARE // (LOGIT_BYTES * model.get_output_embeddings().weight.shape[0])
    return max(CHUNK, min(rows // CHUNK * CHUNK, 64 * CHUNK))


class _HeadLogps(torch.autograd.Function):
    """The log-probabilities under a frozen head, which gets no gradient.

    A token's logits depend on its own hidden state alone, so d logp_t / d hidden_t is taken chunk by chunk in
    the forward pass; backward only scales it.
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
