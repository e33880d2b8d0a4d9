"""Attention in a packed row: which token attends to which, and three ways to compute it.

blocks  on a CPU: each response's queries meet its prompt's keys and its own, in small blocks; nothing is
        computed for the rest of the row, and no scores are kept for the backward pass
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
from genarm.training.collate import PROMPT, PairBatch
from genarm.training.transformers_hooks import attention_implementation

if TYPE_CHECKING:
    from torch.nn.attention.flex_attention import BlockMask
    from transformers import PreTrainedModel

BLOCKS, FLEX = "genarm_blocks", "flex_attention"
QUERIES = 128  # of a block; measured best of 64, 128, 256 and all, for rows of 160 to 1600 tokens
UNSUPPORTED = ("softcap", "s_aux", "position_bias")  # by blocks, though transformers may ask for it


@dataclass(frozen=True, slots=True)
class Block:
    """Queries [start, end) of a row, which attend to the keys of `prompt` and those of [first, end).

    `mask` is added to the scores of the last h of these keys: 0, or -inf where a query must not attend.
    """

    start: int
    end: int
    prompt: slice
    first: int
    mask: Tensor  # [n, h]

    def keys(self, x: Tensor) -> Tensor:
        """The keys or values that the queries attend to; x [k, s, d] -> [k, m, d]."""
        response = x[:, self.first : self.end]
        if self.prompt.start == self.prompt.stop:
            return response
        return torch.cat([x[:, self.prompt], response], 1)

    def add(self, to: Tensor, x: Tensor) -> None:
        """The reverse of `keys`: x [k, m, d] is added to `to` [k, s, d] where it came from."""
        p = self.prompt.stop - self.prompt.start
        to[:, self.prompt] += x[:, :p]
        to[:, self.first : self.end] += x[:, p:]


class BlockLayout:
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
    pair_start = 0  # in the row
    for p, c, r in shapes:
        # The chosen response follows the prompt as text does; the rejected one skips the chosen one.
        for start, length, before in ((0, p + c, 0), (p + c, r, p)):
            parts = -(-length // QUERIES)
            cuts = [length * i // parts for i in range(parts + 1)] if parts else []
            for a, b in pairwise(cuts):
                # Positions are counted over the prompt (`before` tokens of it) and the response.
                reach = 0 if window is None else max(0, before + a - window + 1)
                prompt = slice(pair_start + min(reach, before), pair_start + before)
                first = pair_start + start + max(0, reach - before)
                keys = before + b - reach
                mask = _causal_mask(b - a, dtype)
                if window is not None and keys > window:
                    ages = torch.arange(b - a)[:, None] + keys - (b - a) - torch.arange(keys)  # [n, m]
                    mask = _additive_mask((ages < 0) | (ages >= window), dtype)
                yield Block(pair_start + start + a, pair_start + start + b, prompt, first, mask)
        pair_start += p + c + r


@lru_cache(maxsize=4 * QUERIES)
def _causal_mask(n: int, dtype: torch.dtype) -> Tensor:
    return _additive_mask(torch.ones(n, n, dtype=torch.bool).triu(1), dtype)


def _additive_mask(masked: Tensor, dtype: torch.dtype) -> Tensor:
    # Added, since on a CPU filling by a mask takes three times as long.
    return torch.zeros(masked.shape, dtype=dtype).masked_fill_(masked, -torch.inf)


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
            mixed = torch.bmm(weights, block.keys(v))  # [kv, g * n, d]
            out[block.start : block.end] = mixed.view(q.shape[0], -1, v.shape[-1]).transpose(0, 1)
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
    n, h = block.mask.shape
    folded = (q[:, block.start : block.end] * scale).reshape(len(keys), -1, q.shape[-1])
    scores = torch.bmm(folded, keys.transpose(1, 2))
    scores.view(len(keys), -1, n, keys.shape[1])[..., -h:] += block.mask
    return folded, scores.softmax(-1)


def register() -> None:
    """Make attention by blocks known to transformers under the name BLOCKS; once or many times."""
    AttentionInterface.register(BLOCKS, _attend)


def _attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: None,
    *,
    scaling: float,
    layout: BlockLayout,
    **more: Any,
) -> tuple[Tensor, None]:
    """An attention function of transformers for `blocks`; query [1, h, s, d] -> [1, s, h, d].

    Raises TypeError for a model that asks for more than scaled, causal, windowed attention.
    """
    if unsupported := [name for name in UNSUPPORTED if more.get(name) is not None]:
        raise TypeError(f"attention with {unsupported[0]}")
    _, windows = attention_windows(module.config)
    window = windows[getattr(module, "layer_idx", 0)]
    # Where all weights train, in mixed precision, norms and rotations leave q and k wider than v.
    q, k, v = (x[0].to(value.dtype) for x in (query, key, value))
    with torch.autocast(query.device.type, enabled=False):
        out = _BlockAttention.apply(q, k, v, layout.blocks(window), scaling)
    return out[None], None


def attention_inputs(model: "PreTrainedModel", batch: PairBatch) -> dict[str, Any]:
    """What a packed row needs beside its tokens, for the attention that the model is set to.

    Keyword arguments of the model's forward: `layout` for blocks, `attention_mask` for the others.
    """
    config = model.config.get_text_config()
    implementation = attention_implementation(model)
    if implementation == BLOCKS:
        return {"layout": BlockLayout(batch, model.dtype)}
    flex = implementation == FLEX
    make = flex_mask if flex else lambda batch, window: dense_mask(batch, window, model.dtype)
    kinds, windows = attention_windows(config)
    if SLIDING in kinds and getattr(config, "layer_types", None) is not None:
        return {"attention_mask": {FULL: make(batch, None), SLIDING: make(batch, config.sliding_window)}}
    return {"attention_mask": make(batch, windows[0])}


def mask_mod(batch: PairBatch, window: int | None) -> Callable[[Any, Any, Any, Any], Tensor]:
    """Whether a query attends to a key, by their places in the row: a mask_mod of FlexAttention.

    It attends to its pair's prompt and to its own part up to itself, and with a window no further back.
    """
    pair, part, position = batch.pair[0], batch.part[0], batch.position_ids[0]

    def attends(b: Any, h: Any, query: Any, key: Any) -> Tensor:
        same_part_or_prompt = (part[query] == part[key]) | (part[key] == PROMPT)
        allowed: Tensor = (key <= query) & (pair[query] == pair[key]) & same_part_or_prompt
        return allowed if window is None else allowed & (position[query] - position[key] < window)

    return attends


def dense_mask(batch: PairBatch, window: int | None, dtype: torch.dtype) -> Tensor:
    """Additive mask [1, 1, s, s]: 0 where a token attends, the least number of `dtype` elsewhere."""
    order = torch.arange(batch.part.shape[1], device=batch.part.device)
    attends = mask_mod(batch, window)(0, 0, order[:, None], order[None, :])
    mask = torch.zeros(attends.shape, dtype=dtype, device=attends.device)
    return mask.masked_fill_(~attends, torch.finfo(dtype).min)[None, None]


def flex_mask(batch: PairBatch, window: int | None) -> "BlockMask":
    """The same mask as blocks, which FlexAttention skips where they are empty."""
    from torch.nn.attention.flex_attention import create_block_mask

    s = batch.part.shape[1]
    return create_block_mask(mask_mod(batch, window), 1, 1, s, s, device=str(batch.part.device))
