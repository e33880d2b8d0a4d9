"""Keys and values of the tokens read so far, in memory that is allocated once and written in place.

It stands where transformers' attention modules expect a cache. All rows write the same columns, so a step
stores its keys with one slice; a row that came later, or whose draft was refused, has columns that its mask
hides.
"""

from collections.abc import Mapping

import torch
from torch import Tensor


class KeyValues:
    """For each layer two tensors [rows, heads, capacity, head width]; the columns in use are [first, end)."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.first = 0
        self.end = 0
        self.column: Tensor | None = None  # [1] where a recorded step writes
        self.layers: dict[int, tuple[Tensor, Tensor]] = {}

    def update(
        self, keys: Tensor, values: Tensor, layer: int, *_: object, **__: object
    ) -> tuple[Tensor, Tensor]:
        """Store what a layer computed for its newest tokens; return all it has [rows, heads, s, width].

        keys and values [rows, heads, q, width]. Attention modules call this as a transformers cache.
        """
        if layer not in self.layers:
            self.layers[layer] = self.empty(keys), self.empty(values)
        return self.layer(layer).update(keys, values)

    def layer(self, layer: int) -> "LayerKeyValues":
        """What one layer has, as things are now."""
        return LayerKeyValues(*self.layers[layer], self.first, self.end, self.column)

    def empty(self, like: Tensor, rows: int | None = None) -> Tensor:
        """Empty columns for a layer with keys like these; zeros, as what is hidden must still be finite.

        like [rows, heads, any, width] -> [rows, heads, capacity, width], or as many rows as given.
        """
        return like.new_zeros(
            like.shape[0] if rows is None else rows, like.shape[1], self.capacity, like.shape[3]
        )

    def get_seq_length(self, *_: object) -> int:
        """How many columns are in use; asked by models that are run whole."""
        return self.end - self.first

    def wipe(self, rows: Mapping[int, Tensor]) -> None:
        """Zero these rows of each layer: no mask could hide a value that is not finite."""
        for layer, (keys, values) in self.layers.items():
            keys[rows[layer]] = 0
            values[rows[layer]] = 0


class LayerKeyValues:
    """Keys and values of one layer, [rows, heads, capacity, width] each, and where its next columns go."""

    def __init__(self, keys: Tensor, values: Tensor, first: int, end: int, column: Tensor | None) -> None:
        self.keys, self.values, self.first, self.end, self.column = keys, values, first, end, column

    def update(self, keys: Tensor, values: Tensor, *_: object, **__: object) -> tuple[Tensor, Tensor]:
        """As `KeyValues.update`."""
        if self.column is not None:
            return self.keys.index_copy_(2, self.column, keys), self.values.index_copy_(
                2, self.column, values
            )
        stop = self.end + keys.shape[2]
        self.keys[:, :, self.end : stop] = keys
        self.values[:, :, self.end : stop] = values
        return self.keys[:, :, self.first : stop], self.values[:, :, self.first : stop]


def hidden_score(dtype: torch.dtype) -> float:
    """What is added to the score of a key that must not be seen; finite, so that no row is all -inf."""
    return float(torch.finfo(dtype).min)
