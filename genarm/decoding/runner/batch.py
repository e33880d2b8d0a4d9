"""Sequences on their way through one model, as rows of one batch that come and go.

A member is a sequence; its voices are the bare model and adapters that speak for it, a row each. Rows are
laid out [bare, of every member | first voice | second voice | ...], voices in the order of their lowest
adapted layer, which is where their rows join. All rows write the same columns of the cache; a position of -1
marks a column that is no token of that member: padding, what was there before it, or a refused draft.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from genarm.decoding.runner.cuda_graph import NEWEST, Replay
from genarm.decoding.runner.forward import Inputs
from genarm.decoding.runner.kv_cache import KeyValues, hiding
from genarm.decoding.runner.lora_rows import Rows

if TYPE_CHECKING:
    from genarm.decoding.runner.trunk import Trunk

log = logging.getLogger(__name__)
Voices = Mapping[str, Sequence[int]]  # adapter -> the members it speaks for
UNREAD = 2**40  # the first column of a member that has read nothing


class Flight:
    """n members in one trunk. `bare` says whether the bare model's own logits are wanted too."""

    def __init__(self, trunk: "Trunk", members: int, voices: Voices, capacity: int, *, bare: bool) -> None:
        self.trunk, self.n, self.bare = trunk, members, bare
        self.voices = sorted(((name, list(own)) for name, own in voices.items() if own), key=self._entry)
        self.cache = KeyValues(capacity)
        self.lengths = np.zeros(members, dtype=np.int64)  # tokens read, which is the next one's position
        self.starts = np.full(members, UNREAD, dtype=np.int64)  # first column of each
        self.holes = False  # whether a column after the first is no token of some member
        device = trunk.device
        self.positions = torch.full((members, capacity), -1, dtype=torch.long, device=device)
        owners = [range(members), *(own for _, own in self.voices)]
        self.owners = torch.tensor([i for own in owners for i in own], dtype=torch.long, device=device)
        ends = np.cumsum([len(own) for own in owners]).tolist()
        self.segments = {name: (ends[i], ends[i + 1]) for i, (name, _) in enumerate(self.voices)}
        self._spans = self._plan(ends)
        self._rows: dict[tuple[int, int], Rows] = {}
        self._replay: Replay | None = None

    def _entry(self, voice: tuple[str, list[int]]) -> tuple[int, str]:
        return self.trunk.entry[voice[0]], voice[0]

    def _plan(self, ends: list[int]) -> list[tuple[int, int]]:
        entries = [self.trunk.entry[name] for name, _ in self.voices]
        top = 0 if self.bare else ends[0]
        leaves = self.trunk.body.depth + 1 if self.bare else max(entries, default=0)
        return [
            (0 if layer < leaves else top, ends[sum(entry <= layer for entry in entries)])
            for layer in range(self.trunk.body.depth + 1)
        ]

    # What a walk asks on its way

    def span(self, layer: int) -> tuple[int, int]:
        return self._spans[min(layer, len(self._spans) - 1)]  # a model run whole has one for all layers

    def entering(self, layer: int) -> None:
        start, stop = span = self.span(layer)
        if span not in self._rows:
            adapter = self.owners.new_full((stop,), -1)
            for name, (first, last) in self.segments.items():
                adapter[first:last] = self.trunk.index[name]
            self._rows[span] = Rows(adapter[start:], max(self.n - start, 0))
        self.trunk.now.rows = self._rows[span]

    # Reading

    def feed(self, ids: Tensor, counts: np.ndarray | None = None, *, head: slice | None) -> Tensor | None:
        """Read the next tokens of every member, ids [n, q], of which the last `counts` [n] are real.

        Logits [rows at the top, positions that `head` selects, v]; `slice(-1, None)` for the last alone.
        """
        (n, q), end = ids.shape, self.cache.end
        padding = np.zeros(n, dtype=np.int64) if counts is None else q - counts
        offsets = np.arange(q)[None] - padding[:, None]
        positions = torch.from_numpy(np.where(offsets < 0, -1, self.lengths[:, None] + offsets))
        positions = positions.to(ids.device)
        unread = self.starts == UNREAD
        self.starts = np.where(unread & (padding < q), end + padding, self.starts)
        self.holes |= bool((~unread & (padding > 0)).any())
        self.positions[:, end : end + q] = positions
        self.cache.first = int(self.starts.min())
        logits = self._read(ids, positions, head)
        self.cache.end += q
        self.lengths = self.lengths + (q if counts is None else counts)
        return logits

    def _read(self, ids: Tensor, positions: Tensor, head: slice | None) -> Tensor | None:
        if self.trunk.replays and head == NEWEST and ids.shape[1] == 1 and self.cache.layers:
            try:
                self._replay = self._replay or Replay(self)
                return self._replay.run(ids, positions)
            except RuntimeError as error:
                self.trunk.replays = False
                log.warning("steps cannot be recorded, going on without: %s", error)
        masks: dict[int | None, Tensor | None] = {}
        inputs = Inputs(ids, positions.clamp(min=0), partial(self._mask, positions, masks))
        return self.trunk.body.run(inputs, self, self.cache, head)

    def _mask(
        self, positions: Tensor, made: dict[int | None, Tensor | None], window: int | None
    ) -> Tensor | None:
        if window not in made:
            made[window] = self._made_mask(positions, window)
        return made[window]

    def _made_mask(self, positions: Tensor, window: int | None) -> Tensor | None:
        q, first, stop = positions.shape[1], self.cache.first, self.cache.end + positions.shape[1]
        even = not self.holes and bool((self.starts == self.starts[0]).all())
        slides = window is not None and stop - first > window
        if even and not slides and (q == 1 or first == self.cache.end) and not self.trunk.always_mask:
            return None
        key, query = self.positions[:, None, first:stop], positions[:, :, None]
        unseen = key < 0
        if q > 1:
            unseen = unseen | (key > query)
        if window is not None and slides:
            unseen = unseen | (key <= query - window)
        mask = torch.zeros(unseen.shape, dtype=self.trunk.dtype, device=unseen.device)
        return mask.masked_fill_(unseen, hiding(self.trunk.dtype))[:, None]

    def bare_logits(self, logits: Tensor) -> Tensor:
        """The bare model's part of what `feed` gave."""
        return logits[: self.n]

    def voice_logits(self, logits: Tensor, name: str) -> Tensor:
        """A voice's part of what `feed` gave, a row for each member it speaks for."""
        start, stop = self.segments[name]
        top = self._spans[-1][0]
        return logits[start - top : stop - top]

    # Coming and going

    def retract(self, fed: int, kept: np.ndarray) -> None:
        """Of the newest `fed` columns of each member keep the first `kept` [n] >= 1; the rest is unread."""
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

    def leave(self, members: Iterable[int]) -> None:
        """These are done; their rows stay, unread, until others take them or the flight is rearranged."""
        for member in members:
            self.starts[member], self.lengths[member] = UNREAD, 0

    def wipe(self, member: int) -> None:
        """Zero a member's keys and values, so that nothing of it can reach who takes its rows."""
        rows = (self.owners == member).nonzero().flatten()
        self.cache.wipe(
            {
                layer: rows[_inside(rows, self.span(layer))] - self.span(layer)[0]
                for layer in self.cache.layers
            }
        )

    def room_for(self, other: "Flight", tokens: int) -> bool:
        """Whether `other`'s members, and after them this many more tokens, fit in the columns there are."""
        return other.width <= self.cache.end and self.cache.end + tokens <= self.cache.capacity

    @property
    def width(self) -> int:
        """Columns that its members need elsewhere."""
        if self.holes:
            return int(self.lengths.max())
        return self.cache.end - min(int(self.starts.min()), self.cache.end)

    def take(self, members: Sequence[int], other: "Flight", theirs: Sequence[int]) -> None:
        """Let `theirs` of another flight have the rows of `members`, which the same voices speak for."""
        end = other.cache.end
        if not other.holes:
            self._take(members, other, theirs, torch.arange(end - other.width, end))
            self.starts[list(members)] = other.starts[list(theirs)] + self.cache.end - end
        else:
            for mine, its in zip(members, theirs, strict=True):
                columns = (other.positions[its, :end] >= 0).nonzero().flatten()
                self._take([mine], other, [its], columns)
                self.starts[mine] = self.cache.end - len(columns)
        unread = [mine for mine, its in zip(members, theirs, strict=True) if other.starts[its] == UNREAD]
        self.starts[unread] = UNREAD
        for mine in unread:  # all it brings is padding
            self.wipe(mine)

    def _take(self, members: Sequence[int], other: "Flight", theirs: Sequence[int], columns: Tensor) -> None:
        to, of = self._rows_of(members, other, theirs)
        columns = columns.to(to.device)
        span = slice(self.cache.end - len(columns), self.cache.end)
        for layer, found in other.cache.layers.items():
            # A stem that stays longer here than there has no keys to bring, and nobody who reads them.
            both = _inside(to, self.span(layer)) & _inside(of, other.span(layer))
            mine, its = to[both] - self.span(layer)[0], of[both] - other.span(layer)[0]
            if layer not in self.cache.layers:
                start, stop = self.span(layer)
                keys, values = (self.cache.room(given, stop - start) for given in found)
                self.cache.layers[layer] = keys, values
            for stored, given in zip(self.cache.layers[layer], found, strict=True):
                stored[mine, :, span] = given[its].index_select(2, columns)
        mine, its = torch.tensor(members, device=to.device), torch.tensor(theirs, device=to.device)
        self.positions[mine] = -1
        self.positions[mine, span] = other.positions[its].index_select(1, columns)
        self.lengths[list(members)] = other.lengths[list(theirs)]

    def _rows_of(
        self, members: Sequence[int], other: "Flight", theirs: Sequence[int]
    ) -> tuple[Tensor, Tensor]:
        """All rows of `members`, and those of `theirs` that speak with the same voices."""
        sources = {name: dict(zip(own, range(s, t), strict=True)) for name, own, s, t in other._listed()}
        to, of = [], []
        for name, own, start, stop in self._listed():
            places = dict(zip(own, range(start, stop), strict=True))
            for mine, its in zip(members, theirs, strict=True):
                if mine in places:
                    to.append(places[mine])
                    of.append(sources[name][its])
        device = self.owners.device
        return torch.tensor(to, device=device), torch.tensor(of, device=device)

    def _listed(self) -> list[tuple[str | None, list[int], int, int]]:
        """Name, members and rows [from, to) of the stem and of every voice."""
        stem: list[tuple[str | None, list[int], int, int]] = [(None, list(range(self.n)), 0, self.n)]
        return stem + [(name, own, *self.segments[name]) for name, own in self.voices]


def _inside(rows: Tensor, span: tuple[int, int]) -> Tensor:
    return (rows >= span[0]) & (rows < span[1])


def gathered(new: Flight, sources: Sequence[tuple[Flight, Sequence[int]]]) -> Flight:
    """The empty flight `new`, filled in this order with members of others, which have all its voices."""
    sources = [(flight, members) for flight, members in sources if members]
    new.cache.end = max((flight.width for flight, _ in sources), default=0)
    start = 0
    for flight, members in sources:
        new.take(range(start, start + len(members)), flight, members)
        start += len(members)
    return new
