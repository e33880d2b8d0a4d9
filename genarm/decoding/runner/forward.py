"""A decoder-only transformers model, taken apart into the layers that a token meets.

Walking the layers oneself lets rows multiply half-way up. Which models can be walked is found out, not
listed: the parts have to be where Llama has them, and a trial walk has to give the model's own logits. A
model that cannot be walked is run whole, through its own forward pass.
"""

import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from genarm.decoding.runner.kv_cache import KeyValues
from genarm.models.layers import attention_windows


class Inputs(NamedTuple):
    """What a pass reads beside the cache: for r rows and q new tokens."""

    ids: Tensor  # [n, q] of the stem
    positions: Tensor  # [n, q]
    mask: Callable[[int | None], Tensor | None]  # by window: what to add to the scores [n, 1, q, s]


class Course(Protocol):
    """How the rows of a pass change on the way up; n stem rows enter the first layer."""

    @property
    def owners(self) -> Tensor:
        """The stem row of every row [r], the stem's own first."""

    def span(self, layer: int) -> tuple[int, int]:
        """Rows [from, to) that go through this layer; `len(layers)` stands for the output head."""

    def entering(self, layer: int) -> None:
        """Told before a layer whose span differs from the last one's."""


class Body(Protocol):
    """The layers of a model, however they are run."""

    @property
    def windows(self) -> Collection[int | None]:
        """How many tokens back its layers see, None for all."""

    @property
    def depth(self) -> int:
        """Layers, of which rows may join at any."""

    def run(self, inputs: Inputs, course: Course, cache: KeyValues, head: slice | None) -> Tensor | None:
        """One pass. Logits [rows at the top, positions of `head`, v]; None and no product for no head."""


@dataclass(frozen=True)
class Walk:
    """The parts of a model in the order in which a token meets them."""

    embed: nn.Module
    rotary: nn.Module
    layers: Sequence[nn.Module]
    windows: Sequence[int | None]  # of each layer: how many tokens back it sees, None for all
    kinds: Sequence[str | None]  # of each layer: the rotary embedding it asks for, None where there is one
    norm: nn.Module
    head: nn.Module
    softcap: float | None

    @property
    def depth(self) -> int:
        return len(self.layers)

    def run(self, inputs: Inputs, course: Course, cache: KeyValues, head: slice | None) -> Tensor | None:
        stem = hidden = self.embed(inputs.ids)
        turns = {kind: self._turn(stem, inputs.positions, kind) for kind in set(self.kinds)}
        stem_masks = {window: inputs.mask(window) for window in set(self.windows)}
        n, span = len(stem), (0, len(stem))
        own_turns, masks, positions = turns, stem_masks, inputs.positions
        for index in range(self.depth + 1):
            if index == 0 or course.span(index) != span:
                hidden = _grown(hidden, span, course.span(index), course.owners)
                span = course.span(index)
                course.entering(index)
                if span != (0, n):
                    owners = course.owners[span[0] : span[1]]
                    positions = inputs.positions[owners]
                    own_turns = {kind: (cos[owners], sin[owners]) for kind, (cos, sin) in turns.items()}
                    masks = {w: m if m is None else m[owners] for w, m in stem_masks.items()}
            if index == self.depth:
                break
            out = self.layers[index](
                hidden,
                attention_mask=masks[self.windows[index]],
                position_ids=positions,
                past_key_values=cache,
                use_cache=True,
                position_embeddings=own_turns[self.kinds[index]],
            )
            hidden = out[0] if isinstance(out, tuple) else out
        if head is None:
            return None
        logits = self.head(self.norm(hidden[:, head]))
        return logits if self.softcap is None else (logits / self.softcap).tanh() * self.softcap

    def _turn(self, hidden: Tensor, positions: Tensor, kind: str | None) -> tuple[Tensor, Tensor]:
        named = {} if kind is None else {"layer_type": kind}
        return self.rotary(hidden, positions, **named)


def _grown(hidden: Tensor, old: tuple[int, int], new: tuple[int, int], owners: Tensor) -> Tensor:
    """Rows `new` from rows `old`: those that join copy their stem row, which is still there as they do."""
    if new[1] > old[1]:
        hidden = torch.cat((hidden, hidden[owners[old[1] : new[1]]]))
    return hidden[new[0] - old[0] :]


@dataclass(frozen=True)
class Whole:
    """A model run by its own forward pass: every row goes through all of it."""

    model: PreTrainedModel
    by_kind: Mapping[str, int | None]  # the window of each kind of layer; one kind for most models
    depth: int = 0

    @property
    def windows(self) -> Collection[int | None]:
        return self.by_kind.values()

    def run(self, inputs: Inputs, course: Course, cache: KeyValues, head: slice | None) -> Tensor | None:
        start, stop = course.span(0)
        owners = course.owners[start:stop]
        course.entering(0)
        masks = {kind: inputs.mask(window) for kind, window in self.by_kind.items()}
        own = {kind: mask if mask is None else mask[owners] for kind, mask in masks.items()}
        logits = self.model(
            input_ids=inputs.ids[owners],
            attention_mask=own if len(own) > 1 else next(iter(own.values())),
            position_ids=inputs.positions[owners],
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1 if head is None or head.start == -1 else 0,
        ).logits
        return None if head is None else logits[:, head]


def take_apart(model: PreTrainedModel) -> Walk:
    """The parts of a model; AttributeError and its like where they are not where Llama has them."""
    decoder, config = model.get_decoder(), model.config.get_text_config()
    if len(set(getattr(model, "hf_device_map", {}).values())) > 1:
        raise ValueError("its layers are on several devices")
    kinds, windows = attention_windows(config)
    by_kind = "layer_type" in inspect.signature(decoder.rotary_emb.forward).parameters
    return Walk(
        embed=decoder.embed_tokens,
        rotary=decoder.rotary_emb,
        layers=list(decoder.layers),
        windows=windows,
        kinds=[kind if by_kind else None for kind in kinds],
        norm=decoder.norm,
        head=model.get_output_embeddings(),
        softcap=getattr(config, "final_logit_softcapping", None),
    )


def as_a_whole(model: PreTrainedModel) -> Whole:
    """A model that is run by its own forward pass. Raises ValueError for attention without a plain cache."""
    kinds, windows = attention_windows(model.config.get_text_config())
    return Whole(model, dict(zip(kinds, windows, strict=True)))
