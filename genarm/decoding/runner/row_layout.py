"""Which row of a batch is whose, and which rows go through which layer.

Rows are laid out [bare rows of all sequences | rows of the first adapter | of the second | ...], adapters in
the order of their lowest adapted layer, which is where their rows join.
"""

from collections.abc import Hashable, Mapping, Sequence
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from genarm.decoding.runner.lora_rows import RowAdapters
from genarm.decoding.runner.trunk import Trunk

AdapterRows = Mapping[str, Sequence[int]]  # adapter -> the sequences that have a row with it


class RowLayout:
    """The rows of n sequences in one trunk. Nothing of it changes but that of a recorded step, by `take_up`.

    `bare` says whether the bare model's own logits are wanted too. `shares` [n, 1 + the trunk's dimensions]
    is how much each preference dimension counts for a sequence, after a 1 for what none is asked of.
    """

    def __init__(
        self, trunk: Trunk, sequences: int, adapter_rows: AdapterRows, shares: np.ndarray, *, bare: bool
    ) -> None:
        self.trunk, self.n, self.bare, self.shares = trunk, sequences, bare, shares
        listed = ((name, list(guided)) for name, guided in adapter_rows.items() if guided)
        self.adapter_rows = sorted(listed, key=lambda rows: (trunk.entry[rows[0]], rows[0]))
        owners = [range(sequences), *(guided for _, guided in self.adapter_rows)]
        self.owners = torch.tensor(
            [i for group in owners for i in group], dtype=torch.long, device=trunk.device
        )
        ends = np.cumsum([len(group) for group in owners]).tolist()
        self.segments = {name: (ends[i], ends[i + 1]) for i, (name, _) in enumerate(self.adapter_rows)}
        self._spans = self._plan(ends)
        self._row_adapters: dict[tuple[int, int], RowAdapters] = {}

    def _plan(self, ends: list[int]) -> list[tuple[int, int]]:
        """Rows [from, to) of each layer and the head; ends[i] is where the i-th group of rows ends."""
        entries = [self.trunk.entry[name] for name, _ in self.adapter_rows]
        top = 0 if self.bare else ends[0]
        leaves = self.trunk.forward_pass.depth + 1 if self.bare else max(entries, default=0)
        return [
            (0 if layer < leaves else top, ends[sum(entry <= layer for entry in entries)])
            for layer in range(self.trunk.forward_pass.depth + 1)
        ]

    @cached_property
    def key(self) -> Hashable:
        """Equal for two layouts of one trunk with as many rows of each adapter, whosever they are."""
        return self.n, self.bare, tuple((name, len(guided)) for name, guided in self.adapter_rows)

    @property
    def top(self) -> int:
        """The first row at the output head."""
        return self._spans[-1][0]

    def span(self, layer: int) -> tuple[int, int]:
        """Rows [from, to) that go through this layer; the depth stands for the output head."""
        return self._spans[min(layer, len(self._spans) - 1)]  # a model run whole has one for all layers

    def row_adapters(self, layer: int) -> RowAdapters:
        """The adapters of the rows that go through this layer."""
        start, stop = span = self.span(layer)
        if span not in self._row_adapters:
            adapter = self.owners.new_full((stop,), -1)
            for name, (first, last) in self.segments.items():
                adapter[first:last] = self.trunk.index[name]
            shares = self._shares_of(span) if self.trunk.conditions else None
            self._row_adapters[span] = RowAdapters(adapter[start:], max(self.n - start, 0), shares)
        return self._row_adapters[span]

    def _shares_of(self, span: tuple[int, int]) -> Tensor:
        owners = self.owners[span[0] : span[1]]
        return torch.from_numpy(self.shares).to(owners.device)[owners]

    def take_up(self, other: "RowLayout") -> None:
        """Become a layout with the same key, in the tensors that there are: a recorded step reads these."""
        assert self.key == other.key
        self.adapter_rows, self.shares = other.adapter_rows, other.shares
        self.owners.copy_(other.owners)
        for span, adapters in self._row_adapters.items():
            if adapters.shares is not None:
                adapters.condition(self._shares_of(span))

    def bare_logits(self, logits: Tensor) -> Tensor:
        """The bare model's of the logits of all rows at the head: [n, q, v], a row for each sequence."""
        return logits[: self.n]

    def adapter_logits(self, logits: Tensor, name: str) -> Tensor:
        """The same of an adapter: [m, q, v], a row for each sequence that it guides."""
        start, stop = self.segments[name]
        return logits[start - self.top : stop - self.top]

    def conditioned(self, shares: np.ndarray) -> "RowLayout":
        """The same rows with other shares."""
        return RowLayout(self.trunk, self.n, dict(self.adapter_rows), shares, bare=self.bare)

    def copy(self) -> "RowLayout":
        """The same rows in other memory."""
        return self.conditioned(self.shares)

    def groups(self) -> list[tuple[str | None, list[int], int, int]]:
        """Name, sequences and rows [from, to) of the bare rows and of every adapter's."""
        bare: list[tuple[str | None, list[int], int, int]] = [(None, list(range(self.n)), 0, self.n)]
        return bare + [(name, guided, *self.segments[name]) for name, guided in self.adapter_rows]
