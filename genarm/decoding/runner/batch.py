"""Sequences in one model, as rows of one batch that come and go.

A sequence has one bare row, the model without adapters, and an adapter row for each ARM that guides it;
`row_layout.py` says in which order. All rows write the same columns of the cache; a position of -1 marks a
column that is no token of that sequence: padding, what was there before it, or a refused draft.
"""

from collections.abc import Iterable, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from genarm.decoding.runner.cuda_graph import NEWEST, CudaGraphStep
from genarm.decoding.runner.forward import Inputs
from genarm.decoding.runner.kv_cache import KeyValues, hidden_score
from genarm.decoding.runner.lora_rows import RowAdapters
from genarm.decoding.runner.row_layout import AdapterRows, RowLayout
from genarm.decoding.runner.trunk import Trunk


class ModelBatch:
    """n sequences in one trunk. `bare` says whether the bare model's own logits are wanted too."""

    def __init__(
        self, trunk: Trunk, sequences: int, adapter_rows: AdapterRows, capacity: int, *, bare: bool
    ) -> None:
        self.trunk, self.n = trunk, sequences
        shares = np.zeros((sequences, 1 + len(trunk.dimensions)), dtype=np.float32)
        shares[:, 0] = 1
        self.rows = RowLayout(trunk, sequences, adapter_rows, shares, bare=bare)
        self.cache = KeyValues(capacity)
        self.last = trunk.context - 1  # the last position that its model reads
        self.lengths = np.zeros(sequences, dtype=np.int64)  # tokens read, which is the next one's position
        self.started = np.zeros(sequences, dtype=bool)  # which have read a token since their rows were taken
        self.starts = np.zeros(sequences, dtype=np.int64)  # first column of each that has started
        self.holes = False  # whether a column after the first is no token of some sequence
        self.positions = torch.full((sequences, capacity), -1, dtype=torch.long, device=trunk.device)
        self.recorded: CudaGraphStep | None = None

    # The row plan of its passes

    @property
    def bare(self) -> bool:
        """Whether the bare model's own logits are wanted."""
        return self.rows.bare

    @property
    def adapter_rows(self) -> list[tuple[str, list[int]]]:
        """Each adapter, and the sequences that have a row with it."""
        return self.rows.adapter_rows

    @property
    def owners(self) -> Tensor:
        """The sequence of every row [r]."""
        return self.rows.owners

    def span(self, layer: int) -> tuple[int, int]:
        """Rows [from, to) that go through this layer; the depth stands for the output head."""
        return self.rows.span(layer)

    def row_adapters(self, layer: int) -> RowAdapters:
        """The adapters of the rows that go through this layer."""
        return self.rows.row_adapters(layer)

    def condition(self, sequences: Sequence[int], shares: np.ndarray) -> None:
        """Give these sequences their preference vectors, [sequences, 1 + the trunk's dimensions]."""
        if self.trunk.conditions and not np.array_equal(self.rows.shares[list(sequences)], shares):
            changed = self.rows.shares.copy()
            changed[list(sequences)] = shares
            self.rows = self.rows.conditioned(changed)
            if self.recorded is not None:
                self.recorded.rows.take_up(self.rows)

    # Reading

    def feed(self, ids: Tensor, counts: np.ndarray | None = None, *, head: slice | None) -> Tensor | None:
        """Read the next tokens of every sequence, ids [n, q], of which the last `counts` [n] are real.

        Logits [rows at the top, positions that `head` selects, v]; `slice(-1, None)` for the last alone.
        """
        (n, q), end = ids.shape, self.cache.end
        padding = np.zeros(n, dtype=np.int64) if counts is None else q - counts
        offsets = np.arange(q)[None] - padding[:, None]
        numbers = np.where(offsets < 0, -1, self.lengths[:, None] + offsets)
        starting = ~self.started & (padding < q)
        self.starts = np.where(starting, end + padding, self.starts)
        self.holes |= bool((self.started & (padding > 0)).any())
        self.started |= starting
        self.cache.first = int(self.starts[self.started].min())
        logits = None
        if q == 1 and head == NEWEST and self.cache.layers and self.trunk.recorder.enabled:
            logits = self.trunk.recorder.run(self, ids, numbers[:, 0])
        if logits is None:
            positions = torch.from_numpy(numbers).to(ids.device)
            self.positions[:, end : end + q] = positions
            logits = self._read(ids, positions, head)
        self.cache.end += q
        self.lengths = self.lengths + (q if counts is None else counts)
        return logits

    def _read(self, ids: Tensor, positions: Tensor, head: slice | None) -> Tensor | None:
        # A free sequence reads on and a refused draft lies past the end: a model that looks at the farthest
        # position must not take theirs for it.
        positions = positions.clamp(max=self.last)
        masks: dict[int | None, Tensor | None] = {}
        inputs = Inputs(ids, positions.clamp(min=0), partial(self._mask, positions, masks))
        return self.trunk.forward_pass.run(inputs, self.rows, self.cache, head)

    def _mask(
        self, positions: Tensor, made: dict[int | None, Tensor | None], window: int | None
    ) -> Tensor | None:
        if window not in made:
            made[window] = self._new_mask(positions, window)
        return made[window]

    def _new_mask(self, positions: Tensor, window: int | None) -> Tensor | None:
        """What to add to the scores [n, 1, q, s]; None where attention by itself sees the right keys."""
        q, first, stop = positions.shape[1], self.cache.first, self.cache.end + positions.shape[1]
        even = not self.holes and bool(self.started.all() and (self.starts == self.starts[0]).all())
        slides = window is not None and stop - first > window
        if (
            even
            and not slides
            and (q == 1 or first == self.cache.end)
            and not self.trunk.forward_pass.needs_mask
        ):
            return None
        key, query = self.positions[:, None, first:stop], positions[:, :, None]
        unseen = key < 0
        if q > 1:
            unseen = unseen | (key > query)
        if window is not None and slides:
            unseen = unseen | (key <= query - window)
        mask = torch.zeros(unseen.shape, dtype=self.trunk.dtype, device=unseen.device)
        return mask.masked_fill_(unseen, hidden_score(self.trunk.dtype))[:, None]

    def bare_logits(self, logits: Tensor) -> Tensor:
        """The bare model's part of what `feed` gave: [n, q, v], a row for each sequence."""
        return self.rows.bare_logits(logits)

    def adapter_logits(self, logits: Tensor, name: str) -> Tensor:
        """An adapter's part of what `feed` gave: [m, q, v], a row for each sequence that it guides."""
        return self.rows.adapter_logits(logits, name)

    # Sequences that come and go

    def retract(self, fed: int, kept: np.ndarray) -> None:
        """Of the newest `fed` columns of each sequence keep the first `kept` [n] >= 1; the rest is unread."""
        end = self.cache.end
        back = fed - int(kept.max())
        self.cache.end -= back
        self.lengths = self.lengths - (fed - kept)
        left = np.arange(fed - back)[None] >= kept[:, None]
        if left.any():
            self.holes = True
            unread = torch.from_numpy(left).to(self.positions.device)
            self.positions[:, end - fed : end - back].masked_fill_(unread, -1)
        self.positions[:, end - back : end] = -1

    def release(self, sequences: Iterable[int]) -> None:
        """These are done: their rows start anew, empty, until others take them or the batch is rearranged."""
        rows = list(sequences)
        if rows:
            self.started[rows], self.lengths[rows] = False, 0
            self.positions[rows] = -1

    def wipe(self, sequence: int) -> None:
        """Zero a sequence's keys and values, so that nothing of it can reach the one that takes its rows."""
        rows = (self.owners == sequence).nonzero().flatten()
        self.cache.wipe(
            {
                layer: rows[_inside(rows, self.span(layer))] - self.span(layer)[0]
                for layer in self.cache.layers
            }
        )

    def room_for(self, other: "ModelBatch", tokens: int) -> bool:
        """Whether `other`'s sequences, and after them this many more tokens, fit in the columns there are."""
        return other.width <= self.cache.end and self.cache.end + tokens <= self.cache.capacity

    @property
    def width(self) -> int:
        """Columns that its sequences need in another batch."""
        if self.holes:
            return int(self.lengths.max())
        return self.cache.end - int(self.starts[self.started].min(initial=self.cache.end))

    def take(self, sequences: Sequence[int], other: "ModelBatch", theirs: Sequence[int]) -> None:
        """Copy `theirs` of another batch into the rows of `sequences`, which have the same adapters."""
        end = other.cache.end
        self.condition(sequences, other.rows.shares[list(theirs)])
        if not other.holes:
            self._copy(sequences, other, theirs, torch.arange(end - other.width, end))
            self.starts[list(sequences)] = other.starts[list(theirs)] + self.cache.end - end
        else:
            for target, source in zip(sequences, theirs, strict=True):
                columns = (other.positions[source, :end] >= 0).nonzero().flatten()
                self._copy([target], other, [source], columns)
                self.starts[target] = self.cache.end - len(columns)
        self.started[list(sequences)] = other.started[list(theirs)]
        for target in sequences:
            if not self.started[target]:  # all it brings is padding
                self.wipe(target)

    def _copy(
        self, sequences: Sequence[int], other: "ModelBatch", theirs: Sequence[int], columns: Tensor
    ) -> None:
        """Copy these columns of `theirs` to the right end of the columns in use here."""
        targets, sources = self._paired_rows(sequences, other, theirs)
        columns = columns.to(targets.device)
        span = slice(self.cache.end - len(columns), self.cache.end)
        for layer, brought in other.cache.layers.items():
            # Bare rows may leave at a lower layer there than here; such keys do not exist, and are not read.
            both = _inside(targets, self.span(layer)) & _inside(sources, other.span(layer))
            to, of = targets[both] - self.span(layer)[0], sources[both] - other.span(layer)[0]
            if layer not in self.cache.layers:
                start, stop = self.span(layer)
                keys, values = (self.cache.empty(tensor, stop - start) for tensor in brought)
                self.cache.layers[layer] = keys, values
            for stored, tensor in zip(self.cache.layers[layer], brought, strict=True):
                stored[to, :, span] = tensor[of].index_select(2, columns)
        target = torch.tensor(sequences, device=targets.device)
        source = torch.tensor(theirs, device=targets.device)
        self.positions[target] = -1
        self.positions[target, span] = other.positions[source].index_select(1, columns)
        self.lengths[list(sequences)] = other.lengths[list(theirs)]

    def _paired_rows(
        self, sequences: Sequence[int], other: "ModelBatch", theirs: Sequence[int]
    ) -> tuple[Tensor, Tensor]:
        """All rows of `sequences`, and beside each the row of `theirs` with the same adapter; both [rows]."""
        rows_there = {
            name: dict(zip(group, range(a, b), strict=True)) for name, group, a, b in other.rows.groups()
        }
        targets, sources = [], []
        for name, group, start, stop in self.rows.groups():
            rows_here = dict(zip(group, range(start, stop), strict=True))
            for target, source in zip(sequences, theirs, strict=True):
                if target in rows_here:
                    targets.append(rows_here[target])
                    sources.append(rows_there[name][source])
        device = self.owners.device
        return torch.tensor(targets, device=device), torch.tensor(sources, device=device)


def _inside(rows: Tensor, span: tuple[int, int]) -> Tensor:
    return (rows >= span[0]) & (rows < span[1])


def gather(new: ModelBatch, sources: Sequence[tuple[ModelBatch, Sequence[int]]]) -> None:
    """Fill the empty batch `new`, in this order, with sequences of others, which have all its adapters."""
    sources = [(batch, sequences) for batch, sequences in sources if sequences]
    new.cache.end = max((batch.width for batch, _ in sources), default=0)
    start = 0
    for batch, sequences in sources:
        new.take(range(start, start + len(sequences)), batch, sequences)
        start += len(sequences)
