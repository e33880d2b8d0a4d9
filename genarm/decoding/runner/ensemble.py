"""Base and ARMs reading the same tokens: a batch in each of their models, kept in step slot by slot.

Where an ARM is a LoRA on the base's own weights, both are rows of one batch (strategy `shared`); an ARM of
other weights has a model of its own, and ARMs on the same weights share it (strategy `separate`). The start
of an ARM, with which contrast compares it, is read beside it: the model without the adapter, or the model
that a full one was trained from. A slot has a sequence in a model only where one of that model's readers
serves it, or the model is the base.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from genarm.decoding.runner.batch import ModelBatch, gather
from genarm.decoding.runner.cuda_graph import NEWEST
from genarm.decoding.runner.part import (
    EnsembleLogits,
    Part,
    PartLogits,
    PartSlots,
    Reader,
    Start,
    gathered,
)

PREFILL = 2048  # tokens of prompts that a pass reads, counted in every row: enough to be busy, and bounded


@dataclass
class PartBatch:
    """The batch of one part, and the slot of each of its sequences."""

    places: PartSlots
    batch: ModelBatch

    @property
    def part(self) -> Part:
        """Whose batch it is."""
        return self.places.part

    @property
    def slots(self) -> list[int]:
        """The slot of each sequence."""
        return self.places.slots


class Ensemble:
    """n slots; `used` has the readers that serve each."""

    def __init__(self, parts: Sequence[Part], used: Sequence[frozenset[Reader]], capacity: int) -> None:
        self.parts, self.used = parts, list(used)
        self.capacity = max(p.trunk.recorder.columns(capacity, p.trunk.device) for p in parts)
        self.batches = [new for part in parts if (new := self._part_batch(part)).slots]
        self.free = np.zeros(len(self.used), dtype=bool)  # [n] slots that read on, and nobody wants it

    def _part_batch(self, part: Part) -> PartBatch:
        slots = [i for i, used in enumerate(self.used) if part.base or used & part.readers.keys()]
        adapter_rows = {
            adapter: [k for k, i in enumerate(slots) if arm in self.used[i]]
            for arm, adapter in part.arms.items()
            if adapter is not None
        }
        served = {reader: [i for i in slots if reader in self.used[i]] for reader in part.readers}
        asked = any(served[reader] for reader, adapter in part.readers.items() if adapter is None)
        bare = part.base or part.draft or asked
        batch = ModelBatch(part.trunk, len(slots), adapter_rows, self.capacity, bare=bare)
        device = part.trunk.device
        ids = {r: torch.tensor(ids, dtype=torch.long, device=device) for r, ids in served.items()}
        slot_ids = torch.tensor(slots, dtype=torch.long, device=device)
        return PartBatch(PartSlots(part, len(self.used), slots, slot_ids, served, ids), batch)

    @property
    def width(self) -> int:
        """Columns in use, the most of any part."""
        return max((of_part.batch.width for of_part in self.batches), default=0)

    def contrasting(self, arm: str) -> Tensor | None:
        """The slots that contrast an ARM with its start [k]; None where there are none."""
        for of_part in self.batches:
            slots = of_part.places.served.get(Start(arm))
            if slots is not None and len(slots):
                return slots
        return None

    def condition(self, preferences: Sequence[Mapping[str, float]]) -> None:
        """Give the slots the preference vectors by which their requests condition ARMs, by dimension."""
        for of_part in self.batches:
            names = of_part.part.trunk.dimensions
            rows = [[1.0, *(preferences[slot].get(name, 0.0) for name in names)] for slot in of_part.slots]
            of_part.batch.condition(range(len(rows)), np.array(rows, dtype=np.float32))

    def prefill(self, prompts: Sequence[Sequence[int]]) -> None:
        """Read what comes before the first drawn token of every slot; no logits are made."""
        widest = max(map(len, prompts), default=0)
        ids = np.zeros((len(prompts), widest), dtype=np.int64)
        for row, prompt in zip(ids, prompts, strict=True):
            # Padded with a token of its own: what is hidden must be finite, and no other may say whether.
            row[:] = prompt[0] if prompt else 0
            row[widest - len(prompt) :] = prompt
        counts = np.array([len(prompt) for prompt in prompts])
        rows = max((len(of_part.batch.owners) for of_part in self.batches), default=1)
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
    ) -> EnsembleLogits:
        """Read the next tokens of every slot, ids [n, q], in these parts; as `ModelBatch.feed`."""
        return gathered(self.read(ids, parts, counts=counts, head=head))

    def read(
        self,
        ids: Tensor,
        parts: Iterable[Part],
        *,
        counts: np.ndarray | None = None,
        head: slice | None = NEWEST,
        ahead: bool = False,
    ) -> list[PartLogits]:
        """As `feed`, part by part. What is read `ahead` counts once `count_ahead` says so."""
        found = []
        for of_part in self.batches:
            part, batch = of_part.part, of_part.batch
            if part not in parts:
                continue
            everyone = len(of_part.slots) == len(self.used)
            part_ids = ids if everyone else ids[of_part.places.slot_ids.to(ids.device)]
            real = counts if counts is None or everyone else counts[of_part.slots]
            if real is not None and not real.any():
                continue  # none of its prompts has begun
            if not ahead:
                self._count(of_part, ids.shape[1], real)
            logits = batch.feed(part_ids.to(part.trunk.device), real, head=head)
            if logits is not None:
                found.append(PartLogits(of_part.places, batch.rows, logits))
        return found

    def count_ahead(self) -> None:
        """Count the token that every slot had read ahead, but in slots that are free by now."""
        for of_part in self.batches:
            self._count(of_part, 1, None)

    def _count(self, of_part: PartBatch, columns: int, real: np.ndarray | None) -> None:
        """Add what the rows of a part are about to read; `real` [sequences] tokens of the columns, None: all.

        Bare rows that only carry the adapters' rows up to where those join are no pass of the model.
        """
        batch, reads = of_part.batch, of_part.part.trunk.reads
        tokens = np.where(self.free[of_part.slots], 0, columns if real is None else real)
        if batch.bare:
            reads[None] += int(tokens.sum())
        for adapter, guided in batch.adapter_rows:
            reads[adapter] += int(tokens[guided].sum())

    def retract(self, part: Part, fed: int, kept: np.ndarray) -> None:
        """Of the newest `fed` tokens of every slot keep the first `kept` [n] in this part."""
        for of_part in self.batches:
            if of_part.part is part:
                of_part.batch.retract(fed, kept[of_part.slots])

    def release(self, slots: Iterable[int], *, wipe: bool = False) -> None:
        """These slots are free. `wipe` zeroes what they leave behind, where it is not finite."""
        free = set(slots)
        self.free[list(free)] = True
        for of_part in self.batches:
            sequences = [k for k, slot in enumerate(of_part.slots) if slot in free]
            for sequence in sequences if wipe else ():
                of_part.batch.wipe(sequence)
            of_part.batch.release(sequences)

    def fits(self, columns: int) -> bool:
        """Whether a step that writes so many columns finds room."""
        return all(of_part.batch.cache.end + columns <= self.capacity for of_part in self.batches)

    def has_room(self, other: "Ensemble", tokens: int) -> bool:
        """Whether sequences of `other`, and after them `tokens` more, fit in the columns there are."""
        here = {id(of_part.part): of_part.batch for of_part in self.batches}
        return all(
            here[id(theirs.part)].room_for(theirs.batch, tokens)
            for theirs in other.batches
            if id(theirs.part) in here
        )

    def take(self, slots: Sequence[int], other: "Ensemble", theirs: Sequence[int]) -> None:
        """Copy the slots `theirs` of another ensemble into `slots`, which the same readers serve."""
        self.free[list(slots)] = False
        others = {id(of_part.part): of_part for of_part in other.batches}
        for here in self.batches:
            there = others.get(id(here.part))
            if there is None:
                continue
            pairs = [
                (here.slots.index(slot), there.slots.index(source))
                for slot, source in zip(slots, theirs, strict=True)
                if slot in here.slots
            ]
            if pairs:
                here.batch.take([to for to, _ in pairs], there.batch, [of for _, of in pairs])


def assemble(
    parts: Sequence[Part],
    sources: Sequence[tuple[Ensemble, Sequence[int]]],
    used: Sequence[frozenset[Reader]],
    capacity: int,
) -> Ensemble:
    """One ensemble of these slots of several, in this order; `used` [n] of each, at most what it had."""
    new = Ensemble(parts, used, capacity)
    for here in new.batches:
        wanted, first = set(here.slots), 0
        batches: list[tuple[ModelBatch, list[int]]] = []
        for ensemble, slots in sources:
            there = next((of_part for of_part in ensemble.batches if of_part.part is here.part), None)
            if there is not None:
                sequence = {slot: k for k, slot in enumerate(there.slots)}
                moved = [sequence[slot] for i, slot in enumerate(slots) if first + i in wanted]
                batches.append((there.batch, moved))
            first += len(slots)
        gather(here.batch, batches)
    return new
