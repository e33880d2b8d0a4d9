"""From a model and adapters to a trunk: layer by layer where a trial shows that this is sound, else whole."""

import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from math import isfinite

import torch
from torch import Tensor
from transformers import PreTrainedModel

from genarm.decoding.runner import attention
from genarm.decoding.runner.adapter_files import Adapter
from genarm.decoding.runner.batch import ModelBatch
from genarm.decoding.runner.compiled_layers import compiled_layers
from genarm.decoding.runner.cuda_graph import StepRecorder
from genarm.decoding.runner.forward import (
    ForwardPass,
    LayerwiseForward,
    layerwise_forward,
    whole_forward,
)
from genarm.decoding.runner.lora_rows import RowContext, install
from genarm.decoding.runner.trunk import Trunk
from genarm.errors import ModelError
from genarm.models import context_of
from genarm.models.finite import are_numbers, not_numbers
from genarm.models.rotary import check_positions

TRIAL = 12  # tokens
TOLERANCE = {torch.float32: 1e-4, torch.float16: 0.02, torch.bfloat16: 0.05}  # of the logits' norm
MISFITS = (AttributeError, TypeError, ValueError, RuntimeError, KeyError, IndexError)
log = logging.getLogger(__name__)


def build_trunk(
    model: PreTrainedModel, adapters: Sequence[Adapter], vocab: int, *, compiled: bool = False
) -> Trunk:
    """A trunk of this model, which from now on serves the adapters; `vocab` ids are tokens.

    On a GPU steps are recorded; `compiled` compiles the layers first. Raises AdapterError for an adapter that
    does not fit, and ModelError for a model that cannot be decoded with a cache, whose logits are no numbers,
    or that reads a text otherwise beside a longer one.
    """
    expected = model_logits(model)
    if not are_numbers(expected):
        raise not_numbers(f"the logits of {type(model).__name__}", model)
    check_positions(model, context_of(model))
    context = install(model, adapters, model.dtype)
    forward_pass = find_forward(model, context, expected)
    if compiled:
        forward_pass = _compiled(model, forward_pass, expected)
    return Trunk(
        model,
        forward_pass,
        vocab,
        index={adapter.name: i for i, adapter in enumerate(adapters)},
        entry={adapter.name: _lowest_layer(adapter, forward_pass.depth) for adapter in adapters},
        conditions={a.name: a.conditioning.dimensions for a in adapters if a.conditioning},
        recorder=StepRecorder(enabled=compiled or on_one_gpu(model)),
    )


def on_one_gpu(model: PreTrainedModel) -> bool:
    """Whether all of a model lies on one CUDA device, where its steps can be recorded."""
    devices = {parameter.device for parameter in model.parameters()}
    return len(devices) == 1 and next(iter(devices)).type == "cuda" and not hasattr(model, "_hf_hook")


def find_forward(model: PreTrainedModel, context: RowContext, expected: Tensor) -> ForwardPass:
    """The fastest way to run the model that gives its own logits, `expected` from `model_logits`.

    The model is left with the attention implementation that this way wants. Raises ModelError where no way
    gives them.
    """
    attention.register()
    before = attention.selected(model)
    ways: list[tuple[Callable[[PreTrainedModel, RowContext], ForwardPass], str]] = [
        (layerwise_forward, attention.NAME),
        (whole_forward, attention.NAME),
        (whole_forward, before),
    ]
    reasons: list[str] = []
    for make, implementation in ways:
        try:
            model.set_attn_implementation(implementation)
            forward_pass = make(model, context)
            reason = _misfit(model, forward_pass, expected)
        except MISFITS as error:
            reason = f"{type(error).__name__}: {error}"
        if not reason:
            if reasons:
                log.warning(
                    "%s cannot be run layer by layer (%s): every ARM costs a whole pass",
                    type(model).__name__,
                    reasons[0],
                )
            return forward_pass
        reasons.append(reason)
    raise ModelError(
        f"{type(model).__name__} cannot be decoded with a cache of keys and values: {reasons[-1]}",
        hint="take a decoder-only model whose layers are attention",
    )


@torch.inference_mode()
def model_logits(model: PreTrainedModel) -> Tensor:
    """The logits [2, v] that the model's own pass gives after the trial's tokens, one sequence padded."""
    ids, real = _trial_tokens(model)
    positions = (real.cumsum(-1) - 1).clamp(min=0)
    out = model(input_ids=ids, attention_mask=real.long(), position_ids=positions, use_cache=False)
    return out.logits[:, -1].float()


def _trial_tokens(model: PreTrainedModel) -> tuple[Tensor, Tensor]:
    """Ids of two sequences, and which of them are no padding; both [2, TRIAL]."""
    vocab = model.config.get_text_config().vocab_size
    ids = (torch.arange(2 * TRIAL, device=model.device).view(2, TRIAL) * 7919 + 11) % vocab
    real = torch.ones_like(ids, dtype=torch.bool)
    real[0, : TRIAL // 3] = False
    return ids, real


@torch.inference_mode()
def _misfit(
    model: PreTrainedModel, forward_pass: ForwardPass, expected: Tensor, recorder: StepRecorder | None = None
) -> str:
    """Why a trial in two passes with a cache gives other logits than `expected`; empty where it does not."""
    ids, real = _trial_tokens(model)
    recorder = recorder or StepRecorder()  # by default steps are not recorded
    trunk = Trunk(model, forward_pass, vocab=expected.shape[-1], recorder=recorder)  # no adapters
    trial = ModelBatch(trunk, len(ids), {}, TRIAL, bare=True)
    trial.feed(ids[:, :-1], real[:, :-1].sum(-1).cpu().numpy(), head=None)
    logits = trial.feed(ids[:, -1:], head=slice(-1, None))
    assert logits is not None
    off = float((logits[:, -1].float() - expected).norm() / expected.norm())
    if off <= TOLERANCE[model.dtype]:
        return ""
    return f"its logits would be off by {off:.1%}" if isfinite(off) else "its logits would not be numbers"


def _compiled(model: PreTrainedModel, forward_pass: ForwardPass, expected: Tensor) -> ForwardPass:
    """The same with compiled layers; as it was where compiling fails or gives other logits."""
    faster = forward_pass
    try:
        if isinstance(forward_pass, LayerwiseForward):
            layers = compiled_layers(list(model.get_decoder().layers), forward_pass.context)
            faster = replace(forward_pass, layers=layers)
        reason = _misfit(model, faster, expected, StepRecorder(enabled=True))
    except Exception as error:  # a compiler fails in its own ways
        reason = f"{type(error).__name__}: {error}"
    if reason:
        log.warning("%s is not compiled: %s", type(model).__name__, reason)
        return forward_pass
    return faster


def _lowest_layer(adapter: Adapter, depth: int) -> int:
    """Where an adapter's rows join: its lowest layer, or the output head where it adapts nothing else."""
    layers = [re.search(r"\blayers\.(\d+)\.", path) for path in adapter.factors]
    return min(min(int(match[1]), depth) if match else depth for match in layers)
