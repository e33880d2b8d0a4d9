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
        stop = self.end + keys.shape[2]
        if layer not in self.layers:
            self.layers[layer] = self.empty(keys), self.empty(values)
        stored_keys, stored_values = self.layers[layer]
        if self.column is not None:
            return stored_keys.index_copy_(2, self.column, keys), stored_values.index_copy_(
                2, self.column, values
            )
        stored_keys[:, :, self.end : stop] = keys
        stored_values[:, :, self.end : stop] = values
        return stored_keys[:, :, self.first : stop], stored_values[:, :, self.first : stop]

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


def hidden_score(dtype: torch.dtype) -> float:
    """What is added to the score of a key that must not be seen; finite, so that no row is all -inf."""
    return float(torch.finfo(dtype).min)
