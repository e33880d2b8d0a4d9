"""Sequences in one model, as rows of one batch that come and go.

A sequence has one bare row, the model without adapters, and an adapter row for each ARM that guides it. Rows
are laid out [bare rows of all sequences | rows of the first adapter | of the second | ...], adapters in the
order of their lowest adapted layer, which is where their rows join. All rows write the same columns of the
cache; a position of -1 marks a column that is no token of that sequence: padding, what was there before it,
or a refused draft.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from genarm.decoding.runner.cuda_graph import NEWEST, CudaGraphStep
from genarm.decoding.runner.forward import Inputs
from genarm.decoding.runner.kv_cache import KeyValues, hidden_score
from genarm.decoding.runner.lora_rows import RowAdapters
from genarm.decoding.runner.trunk import Trunk

AdapterRows = Mapping[str, Sequence[int]]  # adapter -> the sequences that have a row with it


class ModelBatch:
    """n sequences in one trunk. `bare` says whether the bare model's own logits are wanted too."""

    def __init__(
        self, trunk: Trunk, sequences: int, adapter_rows: AdapterRows, capacity: int, *, bare: bool
    ) -> None:
        self.trunk, self.n, self.bare = trunk, sequences, bare
        listed = ((name, list(guided)) for name, guided in adapter_rows.items() if guided)
        self.adapter_rows = sorted(listed, key=lambda rows: (trunk.entry[rows[0]], rows[0]))
        self.cache = KeyValues(capacity)
        self.last = trunk.context - 1  # the last position that its model reads
        self.lengths = np.zeros(sequences, dtype=np.int64)  # tokens read, which is the next one's position
        self.started = np.zeros(sequences, dtype=bool)  # which have read a token since their rows were taken
        self.starts = np.zeros(sequences, dtype=np.int64)  # first column of each that has started
        self.holes = False  # whether a column after the first is no token of some sequence
        device = trunk.device
        self.positions = torch.full((sequences, capacity), -1, dtype=torch.long, device=device)
        owners = [range(sequences), *(guided for _, guided in self.adapter_rows)]
        self.owners = torch.tensor([i for group in owners for i in group], dtype=torch.long, device=device)
        ends = np.cumsum([len(group) for group in owners]).tolist()
        self.segments = {name: (ends[i], ends[i + 1]) for i, (name, _) in enumerate(self.adapter_rows)}
        self._spans = self._plan(ends)
        # How much each preference dimension counts for a sequence, after a 1 for what none is asked of.
        self.shares = np.zeros((sequences, 1 + len(trunk.dimensions)), dtype=np.float32)
        self.shares[:, 0] = 1
        self._row_adapters: dict[tuple[int, int], RowAdapters] = {}
        self.recorded: CudaGraphStep | None = None

    def _plan(self, ends: list[int]) -> list[tuple[int, int]]:
        """Rows [from, to) of each layer and the head; ends[i] is where the i-th group of rows ends."""
        entries = [self.trunk.entry[name] for name, _ in self.adapter_rows]
        top = 0 if self.bare else ends[0]
        leaves = self.trunk.forward_pass.depth + 1 if self.bare else max(entries, default=0)
        return [
            (0 if layer < leaves else top, ends[sum(entry <= layer for entry in entries)])
            for layer in range(self.trunk.forward_pass.depth + 1)
        ]

    # The row plan of its passes

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
            shares = None
            if self.trunk.conditions:
                shares = torch.from_numpy(self.shares).to(adapter.device)[self.owners[start:stop]]
            self._row_adapters[span] = RowAdapters(adapter[start:], max(self.n - start, 0), shares)
        return self._row_adapters[span]

    def condition(self, sequences: Sequence[int], shares: np.ndarray) -> None:
        """Give these sequences their preference vectors, [sequences, 1 + the trunk's dimensions]."""
        if self.trunk.conditions and not np.array_equal(self.shares[list(sequences)], shares):
            self.shares[list(sequences)] = shares
            self._row_adapters = {}
            self.recorded = None  # a recorded step has the shares that it was recorded with

    # Reading

    def feed(self, ids: Tensor, counts: np.ndarray | None = None, *, head: slice | None) -> Tensor | None:
        """Read the next tokens of every sequence, ids [n, q], of which the last `counts` [n] are real.

        Logits [rows at the top, positions that `head` selects, v]; `slice(-1, None)` for the last alone.
        """
        (n, q), end = ids.shape, self.cache.end
        padding = np.zeros(n, dtype=np.int64) if counts is None else q - counts
        offsets = np.arange(q)[None] - padding[:, None]
        positions = torch.from_numpy(np.where(offsets < 0, -1, self.lengths[:, None] + offsets))
        positions = positions.to(ids.device)
        starting = ~self.started & (padding < q)
        self.starts = np.where(starting, end + padding, self.starts)
        self.holes |= bool((self.started & (padding > 0)).any())
        self.started |= starting
        self.positions[:, end : end + q] = positions
        self.cache.first = int(self.starts[self.started].min())
        logits = self._read(ids, positions, head)
        self.cache.end += q
        self.lengths = self.lengths + (q if counts is None else counts)
        return logits

    def _read(self, ids: Tensor, positions: Tensor, head: slice | None) -> Tensor | None:
        trunk = self.trunk
        # A free sequence reads on and a refused draft lies past the end: a model that looks at the farthest
        # position must not take theirs for it.
        positions = positions.clamp(max=self.last)
        if trunk.recorder.enabled and head == NEWEST and ids.shape[1] == 1 and self.cache.layers:
            self.recorded = self.recorded or CudaGraphStep(
                trunk.forward_pass, self, self.cache, self.positions, trunk.dtype
            )
            logits = trunk.recorder.run(self.recorded, ids, positions)
            if logits is not None:
                return logits
        masks: dict[int | None, Tensor | None] = {}
        inputs = Inputs(ids, positions.clamp(min=0), partial(self._mask, positions, masks))
        return trunk.forward_pass.run(inputs, self, self.cache, head)

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
        return logits[: self.n]

    def adapter_logits(self, logits: Tensor, name: str) -> Tensor:
        """An adapter's part of what `feed` gave: [m, q, v], a row for each sequence that it guides."""
        start, stop = self.segments[name]
        top = self._spans[-1][0]
        return logits[start - top : stop - top]

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
        self.condition(sequences, other.shares[list(theirs)])
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
            name: dict(zip(group, range(a, b), strict=True)) for name, group, a, b in other._groups()
        }
        targets, sources = [], []
        for name, group, start, stop in self._groups():
            rows_here = dict(zip(group, range(start, stop), strict=True))
            for target, source in zip(sequences, theirs, strict=True):
                if target in rows_here:
                    targets.append(rows_here[target])
                    sources.append(rows_there[name][source])
        device = self.owners.device
        return torch.tensor(targets, device=device), torch.tensor(sources, device=device)

    def _groups(self) -> list[tuple[str | None, list[int], int, int]]:
        """Name, sequences and rows [from, to) of the bare rows and of every adapter's."""
        bare: list[tuple[str | None, list[int], int, int]] = [(None, list(range(self.n)), 0, self.n)]
        return bare + [(name, guided, *self.segments[name]) for name, guided in self.adapter_rows]


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
