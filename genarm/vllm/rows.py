"""A decoder layer of vLLM's that carries the rows of ARMs beside the base's.

The layer's own code runs unchanged: it, its linear modules and its attention become instances of subclasses
that know of the rows, as torch's parametrizations do it. So every family whose layers have Llama's
modules, with whatever lies between them, can be guided.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from vllm.config import VllmConfig
from vllm.distributed import tensor_model_parallel_all_reduce
from vllm.model_executor.layers.attention import Attention
from vllm.model_executor.layers.linear import RowParallelLinear

from genarm.vllm.layout import LINEAR, ArmLayout
from genarm.vllm.low_rank import LowRank, Shard


class LayerRows:
    """A decoder layer in which `arms` ARMs have rows; `joining` of them have none below."""

    arms: int
    joining: int

    def forward(self, positions: Tensor, hidden_states: Tensor, residual: Tensor | None, **more: Any) -> Any:
        """Repeat the base's rows for the ARMs that join here: below, theirs are the same."""
        if self.joining:
            base = hidden_states[: positions.shape[0]].repeat(self.joining, 1)
            hidden_states = torch.cat((hidden_states, base))
            if residual is not None:
                residual = torch.cat((residual, residual[: positions.shape[0]].repeat(self.joining, 1)))
        return super().forward(positions.repeat(1 + self.arms), hidden_states, residual, **more)  # type: ignore[misc]


class LinearRows:
    """A linear module whose output gets the ARMs' additions."""

    low_rank: LowRank

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """The module's own product for all rows, and the ARMs' beside it."""
        y, bias = super().forward(x)  # type: ignore[misc]
        return self.low_rank(x, y), bias


class AttentionRows:
    """Attention of the base's rows; each ARM's rows go to an attention, and so a KV cache, of their own."""

    arms: nn.ModuleList

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """[(1 + m) t, ...] -> the same, each t among themselves."""
        tokens = query.shape[0] // (1 + len(self.arms))
        groups = [slice(i * tokens, (i + 1) * tokens) for i in range(1 + len(self.arms))]
        base = super().forward(query[groups[0]], key[groups[0]], value[groups[0]])  # type: ignore[misc]
        arms = [
            attention(query[rows], key[rows], value[rows])
            for attention, rows in zip(self.arms, groups[1:], strict=True)
        ]
        return torch.cat((base, *arms))


@lru_cache
def _with(rows: type, module: type) -> type:
    return type(f"Guided{module.__name__}", (rows, module), {})


def _inputs(linear: Any) -> Shard:
    """Row-parallel modules read a part of the inputs, column-parallel ones all."""
    count = linear.input_size // linear.input_size_per_partition
    return Shard(linear.input_size, linear.tp_rank if count > 1 else 0, count)


def _outputs(linear: Any, joined: Sequence[str]) -> list[Shard]:
    """Column-parallel modules write a part of each output; where heads of k and v are fewer than processes,
    several processes have the same part.
    """
    if isinstance(linear, RowParallelLinear):
        return [Shard(linear.output_size)]
    found = []
    for name, size in zip(joined, linear.output_partition_sizes, strict=True):
        copies = linear.num_kv_head_replicas if name in ("k_proj", "v_proj") else 1
        count = linear.tp_size // copies
        found.append(Shard(size * count, linear.tp_rank // copies, count))
    return found


def add_rows(layer: Any, index: int, layout: ArmLayout, vllm_config: VllmConfig) -> None:
    """Give a decoder layer the rows of the ARMs that reach it; a layer below all of them stays as it is."""
    arms = layout.arms_at(index)
    if not arms:
        return
    layer.arms = arms
    layer.joining = arms - (layout.arms_at(index - 1) if index else 0)
    layer.__class__ = _with(LayerRows, layer.__class__)
    for (block, name), joined in LINEAR.items():
        linear = getattr(getattr(layer, block), name)
        linear.low_rank = LowRank(
            arms, layout.max_rank, _inputs(linear), _outputs(linear, joined), tensor_model_parallel_all_reduce
        )
        linear.__class__ = _with(LinearRows, linear.__class__)
    base = layer.self_attn.attn
    base.arms = nn.ModuleList(
        Attention(
            base.num_heads,
            base.head_size,
            layer.self_attn.scaling,
            num_kv_heads=base.num_kv_heads,
            cache_config=vllm_config.cache_config,
            per_layer_sliding_window=base.sliding_window,
            prefix=f"{base.layer_name}.arm{arm}",
        )
        for arm in range(arms)
    )
    base.__class__ = _with(AttentionRows, base.__class__)
