"""A decoder-only transformers model, walked layer by layer, so that its rows may multiply half-way up.

Layers below the split see one row a request. There the rows fan out: base and ARMs are rows of one batch from
the split to the output head. Which models can be walked is found out, not listed: the parts have to be where
Llama has them, and the walk has to give the logits of the model's own forward pass.
"""

import inspect
import logging
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from genarm.decoding.cache import KeyValues, hiding
from genarm.decoding.guidance import survivors
from genarm.decoding.rows import RowPlan

KINDS = ("full_attention", "sliding_attention")
PROBE = 12  # tokens of the trial walk
TOLERANCE = {torch.float32: 1e-4, torch.float16: 0.02, torch.bfloat16: 0.05}  # of the logits' norm
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Anatomy:
    """The parts of a model in the order in which a token meets them."""

    embed: nn.Module
    rotary: nn.Module
    layers: Sequence[nn.Module]
    windows: Sequence[int | None]  # of each layer: how many tokens back it sees, None for all
    kinds: Sequence[str | None]  # of each layer: the rotary embedding it asks for, None where there is one
    norm: nn.Module
    head: nn.Module
    softcap: float | None
    dtype: torch.dtype
    always_mask: bool  # eager attention is causal only through its mask


def dissect(model: PreTrainedModel) -> Anatomy | None:
    """The parts of a model that can be walked; None, with the reason in the log, where that would differ."""
    try:
        anatomy = _parts(model)
        reason = _trial(model, anatomy)
    except (AttributeError, TypeError, ValueError, RuntimeError, KeyError, IndexError) as error:
        reason = f"{type(error).__name__}: {error}"
    if reason:
        log.warning("%s cannot be walked (%s): every ARM costs a whole pass", type(model).__name__, reason)
        return None
    return anatomy


def _parts(model: PreTrainedModel) -> Anatomy:
    decoder, config = model.get_decoder(), model.config.get_text_config()
    layers = decoder.layers
    kinds = getattr(config, "layer_types", None)
    window = getattr(config, "sliding_window", None)
    if kinds is None:  # one kind for all: Mistral slides wherever a window is set
        kinds = ["full_attention" if window is None else "sliding_attention"] * len(layers)
    if strange := [kind for kind in kinds if kind not in KINDS]:
        raise ValueError(f"its layers use {strange[0]}")
    if config._attn_implementation not in ("sdpa", "eager"):
        raise ValueError(f"its attention is {config._attn_implementation}")
    if getattr(config, "use_bidirectional_attention", False) or not getattr(config, "is_causal", True):
        raise ValueError("its attention is not causal")
    by_kind = "layer_type" in inspect.signature(decoder.rotary_emb.forward).parameters
    head = model.get_output_embeddings()
    return Anatomy(
        embed=decoder.embed_tokens,
        rotary=decoder.rotary_emb,
        layers=list(layers),
        windows=[window if kind == "sliding_attention" else None for kind in kinds],
        kinds=[kind if by_kind else None for kind in kinds],
        norm=decoder.norm,
        head=head,
        softcap=getattr(config, "final_logit_softcapping", None),
        dtype=next(layers.parameters()).dtype,
        always_mask=config._attn_implementation == "eager",
    )


@torch.inference_mode()
def _trial(model: PreTrainedModel, anatomy: Anatomy) -> str:
    """Why the walk differs from the model's own pass; empty where it does not."""
    vocab = model.config.get_text_config().vocab_size
    device = model.device
    ids = (torch.arange(2 * PROBE, device=device).view(2, PROBE) * 7919 + 11) % vocab
    real = torch.ones_like(ids, dtype=torch.bool)
    real[0, : PROBE // 3] = False
    owner = torch.arange(2, device=device)
    walk = WalkedFlight(anatomy, RowPlan(), [(None, owner)], real[:, :-1], PROBE, len(anatomy.layers))
    walk.feed(ids[:, :-1])
    walked = walk.feed(ids[:, -1:]).float()
    positions = (real.cumsum(-1) - 1).clamp(min=0)
    own = model(input_ids=ids, attention_mask=real.long(), position_ids=positions, use_cache=False).logits
    own = own[:, -1].float()
    off = float((walked - own).norm() / own.norm())
    return "" if off <= TOLERANCE[anatomy.dtype] else f"its logits would be off by {off:.1%}"


class WalkedFlight:
    """One batch on its way through the layers.

    b requests fan out to r rows at the layer `split`: group by group, `groups` naming the adapter (None for
    the bare model) and the request of each row. `real` [b, s] marks the tokens that are no left padding.
    """

    def __init__(
        self,
        anatomy: Anatomy,
        plan: RowPlan,
        groups: Sequence[tuple[str | None, Tensor]],
        real: Tensor,
        capacity: int,
        split: int,
    ) -> None:
        self.anatomy, self.plan, self.split = anatomy, plan, split
        self.names = [name for name, _ in groups]
        self.owners = [owner for _, owner in groups]
        self.cache = KeyValues(capacity)
        self.positions = (real.cumsum(-1) - 1).clamp(min=0)  # [b, s], then the next one of each [b, 1]
        self.padding: Tensor | None = None
        if not bool(real.all()):
            self.padding = torch.zeros(len(real), capacity, dtype=anatomy.dtype, device=real.device)
            self.padding[:, : real.shape[1]].masked_fill_(~real, hiding(anatomy.dtype))

    def feed(self, ids: Tensor) -> Tensor:
        """Read the next tokens of every request, ids [b, q]; the logits after the last of them [r, v]."""
        parts = self.anatomy
        self.plan.lay(list(zip(self.names, map(len, self.owners), strict=True)))
        fans_out = len(self.names) > 1
        owner = torch.cat(self.owners) if fans_out else None
        hidden = parts.embed(ids)
        masks = {window: self._mask(ids.shape[1], window) for window in set(parts.windows)}
        turns = {kind: self._turn(hidden, kind) for kind in set(parts.kinds)}
        positions = self.positions
        for index, layer in enumerate(parts.layers):
            if index == self.split and owner is not None:
                hidden, positions = hidden[owner], positions[owner]
                masks = {w: mask if mask is None else mask[owner] for w, mask in masks.items()}
                turns = {kind: (cos[owner], sin[owner]) for kind, (cos, sin) in turns.items()}
            out = layer(
                hidden,
                attention_mask=masks[parts.windows[index]],
                position_ids=positions,
                past_key_values=self.cache,
                use_cache=True,
                position_embeddings=turns[parts.kinds[index]],
            )
            hidden = out[0] if isinstance(out, tuple) else out
        if owner is not None and self.split >= len(parts.layers):
            hidden = hidden[owner]
        self.cache.length += ids.shape[1]
        self.positions = self.positions[:, -1:] + 1
        logits = parts.head(parts.norm(hidden[:, -1:]))[:, 0]
        return logits if parts.softcap is None else (logits / parts.softcap).tanh() * parts.softcap

    def keep(self, alive: Tensor) -> None:
        """Go on with these requests only, alive [a]."""
        rows, start = [], 0
        for index, owner in enumerate(self.owners):
            kept, self.owners[index] = survivors(owner, alive, len(self.positions))
            rows.append(kept + start)
            start += len(owner)
        self.cache.keep(alive, torch.cat(rows), self.split)
        self.positions = self.positions[alive]
        if self.padding is not None:
            self.padding = self.padding[alive]

    def _turn(self, hidden: Tensor, kind: str | None) -> tuple[Tensor, Tensor]:
        named = {} if kind is None else {"layer_type": kind}
        return self.anatomy.rotary(hidden, self.positions, **named)

    def _mask(self, q: int, window: int | None) -> Tensor | None:
        """What to add to the scores of keys [b, 1, q, s]; None where all before a token is seen."""
        end = self.cache.length + q
        slides = window is not None and end > window
        if self.padding is None and not slides and (q == 1 or not self.anatomy.always_mask):
            return None
        b, device = len(self.positions), self.positions.device
        if q == 1 and not slides and self.padding is not None:
            return self.padding[:, None, None, :end]
        query = torch.arange(end - q, end, device=device)[:, None]
        key = torch.arange(end, device=device)[None]
        unseen = key > query
        if window is not None:
            unseen = unseen | (key <= query - window)
        mask = torch.zeros(q, end, dtype=self.anatomy.dtype, device=device)
        mask = mask.masked_fill_(unseen, hiding(self.anatomy.dtype)).expand(b, 1, q, end)
        if self.padding is None:
            return mask
        # The smaller of the two, not their sum, which would overflow to -inf; a padding token has only such
        # keys, so its own result means nothing but is finite.
        return torch.minimum(mask, self.padding[:, None, None, :end])
