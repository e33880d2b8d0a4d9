"""The forward pass of a decoder-only transformers model, layer by layer where its parts are known.

Running the layers one by one lets rows join half-way up. Which models can be run so is found out, not listed:
the parts have to be where Llama has them, and a trial has to give the model's own logits. Any other model is
run whole, through its own forward pass.
"""

import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from genarm.decoding.runner.kv_cache import KeyValues
from genarm.decoding.runner.lora_rows import RowAdapters, RowContext
from genarm.models.layers import attention_windows


class Inputs(NamedTuple):
    """What a pass reads beside the cache: q new tokens of n sequences."""

    ids: Tensor  # [n, q]
    positions: Tensor  # [n, q]
    mask: Callable[[int | None], Tensor | None]  # by window: what to add to the scores [n, 1, q, s]


class RowPlan(Protocol):
    """Which rows go through which layer; the n bare rows, one a sequence, enter the first."""

    @property
    def owners(self) -> Tensor:
        """The sequence of every row [r]; the bare rows come first, in order."""

    def span(self, layer: int) -> tuple[int, int]:
        """Rows [from, to) that go through this layer; `len(layers)` stands for the output head."""

    def row_adapters(self, layer: int) -> RowAdapters:
        """The adapters of these rows."""


class ForwardPass(Protocol):
    """The layers of a model, however they are run."""

    @property
    def windows(self) -> Collection[int | None]:
        """How many tokens back its layers see, None for all."""

    @property
    def depth(self) -> int:
        """Number of layers at which rows may join."""

    @property
    def needs_mask(self) -> bool:
        """Whether attention needs a mask even where it would see the right keys by itself."""

    def run(self, inputs: Inputs, plan: RowPlan, cache: KeyValues, head: slice | None) -> Tensor | None:
        """One pass. Logits [rows at the top, positions of `head`, v]; with no head, None and no product."""


@dataclass(frozen=True)
class LayerwiseForward:
    """The parts of a model in the order in which a token meets them."""

    context: RowContext
    embed: nn.Module
    rotary: nn.Module
    layers: Sequence[Callable[..., Any]]  # modules, compiled or not
    windows: Sequence[int | None]  # of each layer: how many tokens back it sees, None for all
    kinds: Sequence[str | None]  # of each layer: the rotary embedding it asks for, None where there is one
    norm: nn.Module
    head: nn.Module
    softcap: float | None
    needs_mask: bool = False

    @property
    def depth(self) -> int:
        """Number of layers at which rows may join."""
        return len(self.layers)

    def run(self, inputs: Inputs, plan: RowPlan, cache: KeyValues, head: slice | None) -> Tensor | None:
        """One pass, layer by layer; rows join and leave between layers as the plan says."""
        bare = hidden = self.embed(inputs.ids)
        bare_rotary = {kind: self._rotary(bare, inputs.positions, kind) for kind in set(self.kinds)}
        bare_masks = {window: inputs.mask(window) for window in set(self.windows)}
        n, span = len(bare), (0, len(bare))
        rotary, masks, positions, rows = bare_rotary, bare_masks, inputs.positions, plan.row_adapters(0)
        for index in range(self.depth + 1):
            if index == 0 or plan.span(index) != span:
                hidden = _regrouped(hidden, span, plan.span(index), plan.owners)
                span, rows = plan.span(index), plan.row_adapters(index)
                if span != (0, n):
                    owners = plan.owners[span[0] : span[1]]
                    positions = inputs.positions[owners]
                    rotary = {kind: (cos[owners], sin[owners]) for kind, (cos, sin) in bare_rotary.items()}
                    masks = {w: m if m is None else m[owners] for w, m in bare_masks.items()}
            if index == self.depth:
                break
            with self.context.serving(rows):
                out = self.layers[index](
                    hidden,
                    attention_mask=masks[self.windows[index]],
                    position_ids=positions,
                    past_key_values=cache,
                    use_cache=True,
                    position_embeddings=rotary[self.kinds[index]],
                )
            hidden = out[0] if isinstance(out, tuple) else out
        if head is None:
            return None
        with self.context.serving(rows):
            logits = self.head(self.norm(hidden[:, head]))
        return logits if self.softcap is None else (logits / self.softcap).tanh() * self.softcap

    def _rotary(self, hidden: Tensor, positions: Tensor, kind: str | None) -> tuple[Tensor, Tensor]:
        named = {} if kind is None else {"layer_type": kind}
        return self.rotary(hidden, positions, **named)


def _regrouped(hidden: Tensor, old: tuple[int, int], new: tuple[int, int], owners: Tensor) -> Tensor:
    """Rows `new` from rows `old`: a row that joins copies its bare row, which is still there as it does."""
    if new[1] > old[1]:
        hidden = torch.cat((hidden, hidden[owners[old[1] : new[1]]]))
    return hidden[new[0] - old[0] :]


@dataclass(frozen=True)
class WholeForward:
    """A model run by its own forward pass: every row goes through all of it."""

    context: RowContext
    model: PreTrainedModel
    by_kind: Mapping[str, int | None]  # the window of each kind of layer; one kind for most models
    depth: int = 0
    needs_mask: bool = True  # else the model would make one, for a cache that it does not know

    @property
    def windows(self) -> Collection[int | None]:
        """How many tokens back its layers see, None for all."""
        return self.by_kind.values()

    def run(self, inputs: Inputs, plan: RowPlan, cache: KeyValues, head: slice | None) -> Tensor | None:
        """One pass of all rows through the whole model."""
        start, stop = plan.span(0)
        owners = plan.owners[start:stop]
        masks = {kind: inputs.mask(window) for kind, window in self.by_kind.items()}
        row_masks = {kind: mask if mask is None else mask[owners] for kind, mask in masks.items()}
        with self.context.serving(plan.row_adapters(0)):
            logits = self.model(
                input_ids=inputs.ids[owners],
                attention_mask=row_masks if len(row_masks) > 1 else next(iter(row_masks.values())),
                position_ids=inputs.positions[owners],
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1 if head is None or head.start == -1 else 0,
            ).logits
        return None if head is None else logits[:, head]


def layerwise_forward(model: PreTrainedModel, context: RowContext) -> LayerwiseForward:
    """The parts of a model; AttributeError and its like where they are not where Llama has them."""
    decoder, config = model.get_decoder(), model.config.get_text_config()
    if len(set(getattr(model, "hf_device_map", {}).values())) > 1:
        raise ValueError("its layers are on several devices")
    kinds, windows = attention_windows(config)
    by_kind = "layer_type" in inspect.signature(decoder.rotary_emb.forward).parameters
    return LayerwiseForward(
        context,
        embed=decoder.embed_tokens,
        rotary=decoder.rotary_emb,
        layers=list(decoder.layers),
        windows=windows,
        kinds=[kind if by_kind else None for kind in kinds],
        norm=decoder.norm,
        head=model.get_output_embeddings(),
        softcap=getattr(config, "final_logit_softcapping", None),
    )


def whole_forward(model: PreTrainedModel, context: RowContext) -> WholeForward:
    """A model run by its own forward pass. Raises ValueError for attention without a plain cache."""
    kinds, windows = attention_windows(model.config.get_text_config())
    return WholeForward(context, model, dict(zip(kinds, windows, strict=True)))
