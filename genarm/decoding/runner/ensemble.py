"""Base and ARMs reading the same tokens: a flight in each of their models, kept in step sequence by sequence.

Where an ARM is a LoRA on the base's own weights, both are voices of one flight (strategy `shared`); an ARM of
other weights has a model of its own, and ARMs on the same weights share it (strategy `separate`). A sequence
is a member only where an ARM speaks for it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from genarm.decoding.runner.batch import Flight, gathered
from genarm.decoding.runner.cuda_graph import NEWEST
from genarm.decoding.runner.trunk import Trunk

PREFILL = 2048  # tokens of prompts that a pass reads, counted in every row: enough to be busy, and bounded


@dataclass(frozen=True)
class Part:
    """One model, and which ARMs it is: each by its adapter, None where the model itself is the ARM."""

    trunk: Trunk
    arms: Mapping[str, str | None] = field(default_factory=dict)
    base: bool = False  # whether the bare model is the base
    proxy: bool = False  # whether the bare model drafts in place of the base


@dataclass(frozen=True, slots=True)
class Reading:
    """Logits of one pass. `arms` has for each ARM the sequences it speaks for [m] and its logits there."""

    base: Tensor | None  # [n, q, v]
    proxy: Tensor | None  # [n, q, v]
    arms: Mapping[str, tuple[Tensor, Tensor]]  # [m], [m, q, v]


@dataclass
class Seat:
    """The flight of one part, and the sequence that each of its members is."""

    part: Part
    flight: Flight
    sequences: list[int]
    owners: Tensor  # [members] the same, where ids are
    speakers: dict[str, Tensor]  # the sequences of each ARM


class Ensemble:
    """n sequences; `used` names the ARMs that speak for each."""

    def __init__(self, parts: Sequence[Part], used: Sequence[frozenset[str]], capacity: int) -> None:
        self.parts, self.used, self.capacity = parts, list(used), capacity
        self.seats = [seat for part in parts if (seat := self._seat(part)).sequences]

    def _seat(self, part: Part) -> Seat:
        sequences = [i for i, arms in enumerate(self.used) if part.base or arms & part.arms.keys()]
        voices = {
            adapter: [k for k, i in enumerate(sequences) if arm in self.used[i]]
            for arm, adapter in part.arms.items()
            if adapter is not None
        }
        bare = part.base or part.proxy or None in part.arms.values()
        flight = Flight(part.trunk, len(sequences), voices, self.capacity, bare=bare)
        device = part.trunk.device
        speakers = {
            arm: torch.tensor([i for i in sequences if arm in self.used[i]], dtype=torch.long, device=device)
            for arm in part.arms
        }
        return Seat(part, flight, sequences, torch.tensor(sequences, device=device), speakers)

    @property
    def width(self) -> int:
        """Columns in use, the most of any part."""
        return max((seat.flight.width for seat in self.seats), default=0)

    def prefill(self, prompts: Sequence[Sequence[int]]) -> None:
        """Read what comes before the first drawn token of every sequence; no logits are made."""
        widest = max(map(len, prompts), default=0)
        ids = np.zeros((len(prompts), widest), dtype=np.int64)
        for row, prompt in zip(ids, prompts, strict=True):
            # Padded with a token of its own: what is hidden must be finite, and no other may say whether.
            row[:] = prompt[0] if prompt else 0
            row[widest - len(prompt) :] = prompt
        counts = np.array([len(prompt) for prompt in prompts])
        rows = max((len(seat.flight.owners) for seat in self.seats), default=1)
        columns = max(PREFILL // max(rows, 1), 1)
        for start in range(0, widest, columns):
            stop = min(start + columns, widest)
            real = np.clip(counts - (widest - stop), 0, stop - start)
            self.feed(torch.from_numpy(ids[:, start:stop]), self.parts, counts=real, head=None)

    def feed(
        self,
        ids: Tensor,
        parts: Iterable[Part],
        *,
        counts: np.ndarray | None = None,
        head: slice | None = NEWEST,
    ) -> Reading:
        """Read the next tokens of every sequence, ids [n, q], in these parts; as `Flight.feed`."""
        base = proxy = None
        arms: dict[str, tuple[Tensor, Tensor]] = {}
        for seat in self.seats:
            if seat.part not in parts:
                continue
            everyone = len(seat.sequences) == len(self.used)
            own = ids if everyone else ids[seat.owners.to(ids.device)]
            real = counts if counts is None or everyone else counts[seat.sequences]
            if real is not None and not real.any():
                continue  # none of its prompts has begun
            found = seat.flight.feed(own.to(seat.part.trunk.device), real, head=head)
            if found is None:
                continue
            found = found[..., : seat.part.trunk.vocab]
            if seat.part.base:
                base = seat.flight.bare_logits(found)
            if seat.part.proxy:
                proxy = self._spread(seat.flight.bare_logits(found), seat)
            for arm, adapter in seat.part.arms.items():
                if len(speakers := seat.speakers[arm]):
                    arms[arm] = speakers, self._said(seat, found, speakers, adapter)
        return Reading(base, proxy, arms)

    def _said(self, seat: Seat, found: Tensor, speakers: Tensor, adapter: str | None) -> Tensor:
        if adapter is not None:
            return seat.flight.voice_logits(found, adapter)
        said = seat.flight.bare_logits(found)
        return said if len(speakers) == len(said) else said[torch.searchsorted(seat.owners, speakers)]

    def _spread(self, logits: Tensor, seat: Seat) -> Tensor:
        if len(logits) == len(self.used):
            return logits
        return logits.new_zeros(len(self.used), *logits.shape[1:]).index_copy_(0, seat.owners, logits)

    def retract(self, part: Part, fed: int, kept: np.ndarray) -> None:
        """Of the newest `fed` tokens of every sequence keep the first `kept` [n] in this part."""
        for seat in self.seats:
            if seat.part is part:
                seat.flight.retract(fed, kept[seat.sequences])

    def leave(self, sequences: Iterable[int], *, wipe: bool = False) -> None:
        """These are done. `wipe` zeroes what they leave behind, where that is no numbers."""
        gone = set(sequences)
        for seat in self.seats:
            members = [k for k, i in enumerate(seat.sequences) if i in gone]
            for member in members if wipe else ():
                seat.flight.wipe(member)
            seat.flight.leave(members)

    def fits(self, columns: int) -> bool:
        """Whether a step that writes so many columns finds room."""
        return all(seat.flight.cache.end + columns <= self.capacity for seat in self.seats)

    def has_room(self, other: "Ensemble", tokens: int) -> bool:
        """Whether sequences of `other`, and after them `tokens` more, fit in the columns there are."""
        mine = {id(seat.part): seat.flight for seat in self.seats}
        return all(mine[id(s.part)].room_for(s.flight, tokens) for s in other.seats if id(s.part) in mine)

    def take(self, places: Sequence[int], other: "Ensemble", theirs: Sequence[int]) -> None:
        """Let `theirs` of another ensemble have the rows of `places`, which the same ARMs speak for."""
        of = {id(seat.part): seat for seat in other.seats}
        for seat in self.seats:
            its = of.get(id(seat.part))
            pairs = [
                (seat.sequences.index(mine), its.sequences.index(their))
                for mine, their in zip(places, theirs, strict=True)
                if its is not None and mine in seat.sequences
            ]
            if its is not None and pairs:
                seat.flight.take([mine for mine, _ in pairs], its.flight, [their for _, their in pairs])


def assembled(
    parts: Sequence[Part],
    sources: Sequence[tuple[Ensemble, Sequence[int]]],
    used: Sequence[frozenset[str]],
    capacity: int,
) -> Ensemble:
    """One ensemble of these sequences of several, in this order; `used` [n] of each, at most what it had."""
    new = Ensemble(parts, used, capacity)
    for seat in new.seats:
        wanted, first = set(seat.sequences), 0
        own: list[tuple[Flight, list[int]]] = []
        for ensemble, sequences in sources:
            found = next((s for s in ensemble.seats if s.part is seat.part), None)
            if found is not None:
                place = {sequence: k for k, sequence in enumerate(found.sequences)}
                own.append((found.flight, [place[s] for i, s in enumerate(sequences) if first + i in wanted]))
            first += len(sequences)
        gathered(seat.flight, own)
    return new
