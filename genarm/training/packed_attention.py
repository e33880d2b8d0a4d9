"""Attention in a packed row: who sees whom, and three ways to compute it.

blocks  on a CPU: each response's queries meet its prompt's keys and its own, in small blocks; nothing of the
        rest of the row is computed, and no scores are kept for the backward pass
flex    on a GPU: FlexAttention with a block mask, through the model's own attention layers
dense   the whole mask, through the model's own attention layers: for models that the first two do not fit
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface

from genarm.models.layers import FULL, SLIDING, attention_windows
from genarm.training.collate import PairBatch

if TYPE_CHECKING:
    from torch.nn.attention.flex_attention import BlockMask
    from transformers import PreTrainedModel

BLOCKS, FLEX = "genarm_blocks", "flex_attention"
QUERIES = 128  # of a block; measured best of 64, 128, 256 and all, for rows of 160 to 1600 tokens
UNKNOWN = ("softcap", "s_aux", "position_bias")  # what transformers may ask of attention, and blocks lack


@dataclass(frozen=True, slots=True)
class Block:
    """Queries [start, end) of a row, which see the keys of `prompt` and those of [own, end).

    `hidden` is added to the scores of the last of these keys: 0, or -inf where a query must not see one.
    """

    start: int
    end: int
    prompt: slice
    own: int
    hidden: Tensor  # [n, h]

    def keys(self, x: Tensor) -> Tensor:
        """x [k, s, d] -> [k, m, d], the keys or values that are seen."""
        own = x[:, self.own : self.end]
        return own if self.prompt.start == self.prompt.stop else torch.cat([x[:, self.prompt], own], 1)

    def add(self, to: Tensor, x: Tensor) -> None:
        """The reverse of `keys`: x [k, m, d] is added where it came from."""
        p = self.prompt.stop - self.prompt.start
        to[:, self.prompt] += x[:, :p]
        to[:, self.own : self.end] += x[:, p:]


class Layout:
    """The blocks of a packed row, for each attention window that its layers have."""

    def __init__(self, batch: PairBatch, dtype: torch.dtype) -> None:
        self._shapes, self._dtype = batch.shapes, dtype
        self._blocks: dict[int | None, list[Block]] = {}

    def blocks(self, window: int | None) -> list[Block]:
        """The blocks of one kind of layer."""
        if window not in self._blocks:
            self._blocks[window] = [*_blocks(self._shapes, window, self._dtype)]
        return self._blocks[window]


def _blocks(
    shapes: tuple[tuple[int, int, int], ...], window: int | None, dtype: torch.dtype
) -> Iterator[Block]:
    first = 0  # of the pair, in the row
    for p, c, r in shapes:
        # The chosen response goes on from the prompt as text does; the rejected one sees past it.
        for start, length, before in ((0, p + c, 0), (p + c, r, p)):
            parts = -(-length // QUERIES)
            cuts = [length * i // parts for i in range(parts + 1)] if parts else []
            for a, b in pairwise(cuts):
                # Positions are counted over the prompt (`before` tokens of it) and the response.
                reach = 0 if window is None else max(0, before + a - window + 1)
                prompt = slice(first + min(reach, before), first + before)
                own = max(0, reach - before)
                keys = before + b - reach
                hidden = _upper(b - a, dtype)
                if window is not None and keys > window:
                    ages = torch.arange(b - a)[:, None] + keys - (b - a) - torch.arange(keys)  # [n, m]
                    hidden = _hidden((ages < 0) | (ages >= window), dtype)
                yield Block(first + start + a, first + start + b, prompt, first + start + own, hidden)
        first += p + c + r


@lru_cache(maxsize=4 * QUERIES)
def _upper(n: int, dtype: torch.dtype) -> Tensor:
    return _hidden(torch.ones(n, n, dtype=torch.bool).triu(1), dtype)


def _hidden(where: Tensor, dtype: torch.dtype) -> Tensor:
    # Added, since on a CPU filling by a mask takes three times as long.
    return torch.zeros(where.shape, dtype=dtype).masked_fill_(where, -torch.inf)


class _BlockAttention(torch.autograd.Function):
    """softmax(scale * q k') v, block by block; q [h, s, d], k and v [kv, s, d] -> [s, h, d].

    Heads that share a key are folded into its queries, so that keys are never repeated. Scores are computed
    again in the backward pass: kept, they would grow with the square of a response's length.
    """

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, blocks: list[Block], scale: float) -> Tensor:
        out = v.new_empty(q.shape[1], q.shape[0], v.shape[-1])
        for block in blocks:
            _, weights = _weights(q, block.keys(k), block, scale)
            seen = torch.bmm(weights, block.keys(v))  # [kv, g * n, d]
            out[block.start : block.end] = seen.view(q.shape[0], -1, v.shape[-1]).transpose(0, 1)
        ctx.save_for_backward(q, k, v)
        ctx.blocks, ctx.scale = blocks, scale
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v = ctx.saved_tensors
        slope_q, slope_k, slope_v = torch.empty_like(q), torch.zeros_like(k), torch.zeros_like(v)
        for block in ctx.blocks:
            keys, rows = block.keys(k), slice(block.start, block.end)
            folded, weights = _weights(q, keys, block, ctx.scale)
            g = gradient[rows].transpose(0, 1).reshape(*folded.shape[:2], -1)
            block.add(slope_v, torch.bmm(weights.transpose(1, 2), g))
            g = torch.bmm(g, block.keys(v).transpose(1, 2))
            g = torch.ops.aten._softmax_backward_data(g, weights, -1, weights.dtype)
            slope_q[:, rows] = torch.bmm(g, keys).mul_(ctx.scale).view(q.shape[0], -1, q.shape[-1])
            block.add(slope_k, torch.bmm(g.transpose(1, 2), folded))
        return slope_q, slope_k, slope_v, None, None


def _weights(q: Tensor, keys: Tensor, block: Block, scale: float) -> tuple[Tensor, Tensor]:
    """The block's scaled queries [kv, g * n, d] and their attention weights [kv, g * n, m]."""
    n, h = block.hidden.shape
    folded = (q[:, block.start : block.end] * scale).reshape(len(keys), -1, q.shape[-1])
    scores = torch.bmm(folded, keys.transpose(1, 2))
    scores.view(len(keys), -1, n, keys.shape[1])[..., -h:] += block.hidden
    return folded, scores.softmax(-1)


def _attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: None,
    *,
    scaling: float,
    layout: Layout,
    **more: Any,
) -> tuple[Tensor, None]:
    """An attention function of transformers for `blocks`; query [1, h, s, d] -> [1, s, h, d].

    Raises TypeError for a model that asks for more than scaled, causal, windowed attention.
    """
    if asked := [name for name in UNKNOWN if more.get(name) is not None]:
        raise TypeError(f"attention with {asked[0]}")
    _, windows = attention_windows(module.config)
    window = windows[getattr(module, "layer_idx", 0)]
    # Where all weights train, in mixed precision, norms and rotations leave q and k wider than v.
    q, k, v = (x[0].to(value.dtype) for x in (query, key, value))
    with torch.autocast(query.device.type, enabled=False):
        out = _BlockAttention.apply(q, k, v, layout.blocks(window), scaling)
    return out[None], None


AttentionInterface.register(BLOCKS, _attend)


def inputs(model: "PreTrainedModel", batch: PairBatch) -> dict[str, Any]:
    """What a packed row needs beside its tokens, for the attention that the model is set to."""
    config = model.config.get_text_config()
    kind = config._attn_implementation
    if kind == BLOCKS:
        return {"layout": Layout(batch, model.dtype)}
    make = flex_mask if kind == FLEX else lambda batch, window: dense_mask(batch, window, model.dtype)
    kinds, windows = attention_windows(config)
    if SLIDING in kinds and getattr(config, "layer_types", None) is not None:
        return {"attention_mask": {FULL: make(batch, None), SLIDING: make(batch, config.sliding_window)}}
    return {"attention_mask": make(batch, windows[0])}


def sees(batch: PairBatch, window: int | None) -> Callable[[Any, Any, Any, Any], Tensor]:
    """Whether a query may look at a key, by their places in the row; in the form that FlexAttention asks for.

    It sees its pair's prompt and its own part up to itself, and with a window no further back than that.
    """
    part, position = batch.part[0], batch.position_ids[0]

    def seen(b: Any, h: Any, query: Any, key: Any) -> Tensor:
        own, other = part[query], part[key]
        may: Tensor = (key <= query) & ((own == other) | (own - own % 3 == other))
        return may if window is None else may & (position[query] - position[key] < window)

    return seen


def dense_mask(batch: PairBatch, window: int | None, dtype: torch.dtype) -> Tensor:
    """Additive mask [1, 1, s, s]: 0 where a token may look, the least number elsewhere."""
    order = torch.arange(batch.part.shape[1], device=batch.part.device)
    seen = sees(batch, window)(0, 0, order[:, None], order[None, :])
    mask = torch.zeros(seen.shape, dtype=dtype, device=seen.device)
    return mask.masked_fill_(~seen, torch.finfo(dtype).min)[None, None]


def flex_mask(batch: PairBatch, window: int | None) -> "BlockMask":
    """The same as blocks that FlexAttention may leave out."""
    from torch.nn.attention.flex_attention import create_block_mask

    s = batch.part.shape[1]
    return create_block_mask(sees(batch, window), 1, 1, s, s, device=str(batch.part.device))
