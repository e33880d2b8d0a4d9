"""Keys and values of the tokens read so far, in memory that is allocated once a batch.

It stands where transformers' attention modules expect a cache: they call `update` and nothing else.
"""

import torch
from torch import Tensor


class KeyValues:
    """For each layer two tensors [rows, heads, capacity, head width], filled from the left."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.length = 0  # tokens that all layers have read
        self.layers: dict[int, tuple[Tensor, Tensor]] = {}

    def update(
        self, keys: Tensor, values: Tensor, layer: int, *_: object, **__: object
    ) -> tuple[Tensor, Tensor]:
        """Store what a layer computed for its newest tokens; return all it has [rows, heads, s, width]."""
        if layer not in self.layers:
            self.layers[layer] = self._room(keys), self._room(values)
        end = self.length + keys.shape[2]
        stored_keys, stored_values = self.layers[layer]
        stored_keys[:, :, self.length : end] = keys
        stored_values[:, :, self.length : end] = values
        return stored_keys[:, :, :end], stored_values[:, :, :end]

    def _room(self, like: Tensor) -> Tensor:
        return like.new_zeros(like.shape[0], like.shape[1], self.capacity, like.shape[3])

    def keep(self, below: Tensor, above: Tensor, split: int) -> None:
        """Drop all rows but `below` in the layers under the split and all but `above` in the others."""
        for layer, (keys, values) in self.layers.items():
            rows = below if layer < split else above
            self.layers[layer] = keys.index_select(0, rows), values.index_select(0, rows)


def hiding(dtype: torch.dtype) -> float:
    """What is added to the score of a key that must not be seen; finite, so that no row is all -inf."""
    return float(torch.finfo(dtype).min)
