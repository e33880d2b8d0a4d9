"""One model with its adapters, ready to score rows."""

import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from genarm.decoding.runner import attention
from genarm.decoding.runner.adapter_files import Adapter
from genarm.decoding.runner.batch import ModelBatch
from genarm.decoding.runner.forward import (
    ForwardPass,
    LayerwiseForward,
    layerwise_forward,
    whole_forward,
)
from genarm.decoding.runner.lora_rows import RowContext, install
from genarm.errors import ModelError
from genarm.models import context_of

PROBE = 12  # tokens of the trial
TOLERANCE = {torch.float32: 1e-4, torch.float16: 0.02, torch.bfloat16: 0.05}  # of the logits' norm
MISFITS = (AttributeError, TypeError, ValueError, RuntimeError, KeyError, IndexError)
log = logging.getLogger(__name__)


class Trunk:
    """The frozen weights that rows share, and the adapters that tell the rows apart."""

    def __init__(
        self, model: PreTrainedModel, adapters: Sequence[Adapter], vocab: int, *, compiled: bool = False
    ) -> None:
        self.model = model
        self.vocab = vocab  # of the tokenizer: what the model has beyond it is padding, never a token
        self.row_context = RowContext()
        self.always_mask = False
        self.index = {adapter.name: i for i, adapter in enumerate(adapters)}
        self.entry = dict.fromkeys(self.index, 0)
        own = self._own_logits()
        install(model, adapters, self.row_context, self.dtype)
        self.records_steps = False  # the trials of what follows go step by step
        self.forward_pass = self._found(own)
        if compiled:
            self._compile(own)
        self.entry = {adapter.name: self._lowest(adapter) for adapter in adapters}

    @property
    def device(self) -> torch.device:
        return self.model.device

    @property
    def dtype(self) -> torch.dtype:
        return self.model.dtype

    @property
    def context(self) -> int:
        """Most tokens that the model was made for."""
        return context_of(self.model)

    @property
    def parameters(self) -> int:
        """How many weights there are, which is what a pass costs."""
        return sum(p.numel() for p in self.model.parameters())

    def _lowest(self, adapter: Adapter) -> int:
        """Where an adapter's rows join: its lowest layer, or the output head where it adapts nothing else."""
        found = [re.search(r"\blayers\.(\d+)\.", path) for path in adapter.factors]
        return min(
            min(int(match[1]), self.forward_pass.depth) if match else self.forward_pass.depth
            for match in found
        )

    def _probe(self) -> tuple[Tensor, Tensor]:
        vocab = self.model.config.get_text_config().vocab_size
        ids = (torch.arange(2 * PROBE, device=self.device).view(2, PROBE) * 7919 + 11) % vocab
        real = torch.ones_like(ids, dtype=torch.bool)
        real[0, : PROBE // 3] = False
        return ids, real

    @torch.inference_mode()
    def _own_logits(self) -> Tensor:
        ids, real = self._probe()
        positions = (real.cumsum(-1) - 1).clamp(min=0)
        out = self.model(input_ids=ids, attention_mask=real.long(), position_ids=positions, use_cache=False)
        return out.logits[:, -1].float()

    def _found(self, own: Tensor) -> ForwardPass:
        """The fastest way to run the model that gives its own logits; ModelError where there is none."""
        before = self.model.config._attn_implementation
        reasons: list[str] = []
        ways: list[tuple[Callable[[PreTrainedModel], ForwardPass], str]] = [
            (layerwise_forward, attention.NAME),
            (whole_forward, attention.NAME),
            (whole_forward, before),
        ]
        for take, implementation in ways:
            self.always_mask = take is whole_forward  # it would make one itself, of a cache it does not know
            try:
                self.model.set_attn_implementation(implementation)
                self.forward_pass = take(self.model)
                reason = self._differs(own)
            except MISFITS as error:
                reason = f"{type(error).__name__}: {error}"
            if not reason:
                if reasons:
                    log.warning(
                        "%s cannot be run layer by layer (%s): every ARM costs a whole pass",
                        type(self.model).__name__,
                        reasons[0],
                    )
                return self.forward_pass
            reasons.append(reason)
        raise ModelError(
            f"{type(self.model).__name__} cannot be decoded with a cache of keys and values: {reasons[-1]}",
            hint="take a decoder-only model whose layers are attention",
        )

    def _compile(self, own: Tensor) -> None:
        """Compile the layers and record the steps; where that fails or gives other logits, do not."""
        import torch._dynamo  # slow to import, and seldom wanted

        before = self.forward_pass
        try:
            if isinstance(before, LayerwiseForward):
                # Layers differ by their number alone, which counts as a recompilation each.
                limit = max(torch._dynamo.config.recompile_limit, 4 * before.depth)
                torch._dynamo.config.recompile_limit = limit
                compiled = [torch.compile(layer, dynamic=True) for layer in before.layers]
                self.forward_pass = replace(before, layers=cast("list[nn.Module]", compiled))
            reason = self._differs(own)
        except Exception as error:  # a compiler fails in its own ways
            reason = f"{type(error).__name__}: {error}"
        if reason:
            log.warning("%s is not compiled: %s", type(self.model).__name__, reason)
            self.forward_pass = before
        self.records_steps = True

    @torch.inference_mode()
    def _differs(self, own: Tensor) -> str:
        """Why a trial in two passes gives other logits than the model; empty where it does not."""
        ids, real = self._probe()
        trial = ModelBatch(self, len(ids), {}, PROBE, bare=True)
        trial.feed(ids[:, :-1], real[:, :-1].sum(-1).cpu().numpy(), head=None)
        logits = trial.feed(ids[:, -1:], head=slice(-1, None))
        assert logits is not None
        off = float((logits[:, -1].float() - own).norm() / own.norm())
        return "" if off <= TOLERANCE[self.dtype] else f"its logits would be off by {off:.1%}"


def vocabulary(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> int:
    """How many ids are tokens: those of the tokenizer that the model can score; the rest is padding."""
    return min(output_width(model), 1 + max(tokenizer.get_vocab().values()))


def output_width(model: PreTrainedModel) -> int:
    """How many ids the model scores."""
    return int(model.get_output_embeddings().weight.shape[0])
