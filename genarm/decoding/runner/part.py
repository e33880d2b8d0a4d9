"""Models as guidance reads them: whose logits a pass over the parts gives, slot by slot."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from genarm.decoding.runner.row_layout import RowLayout
from genarm.decoding.runner.trunk import Trunk


@dataclass(frozen=True, slots=True)
class Start:
    """What an ARM was trained from: a reader of the tokens beside the ARM, where contrast asks for it."""

    arm: str

    def __str__(self) -> str:
        return f"{self.arm} (its start)"


Reader = str | Start  # whose logits guidance needs beside the base's: an ARM, by name, or its start


@dataclass(frozen=True)
class Part:
    """One model, and which ARMs it is: each by its adapter, None where the model itself is the ARM."""

    trunk: Trunk
    arms: Mapping[str, str | None] = field(default_factory=dict)
    base: bool = False  # whether the bare model is the base
    draft: bool = False  # whether the bare model stands in for the base while drafting
    starts: frozenset[str] = frozenset()  # ARMs of other parts that were trained from the bare model

    @cached_property
    def readers(self) -> Mapping[Reader, str | None]:
        """The ARMs and the starts that the model is, each by its adapter; None for the bare model."""
        adapted = [arm for arm, adapter in self.arms.items() if adapter is not None]
        starts = [Start(arm) for arm in (*adapted, *sorted(self.starts))]
        readers: dict[Reader, str | None] = {}
        readers.update(self.arms)
        return readers | dict.fromkeys(starts)

    def is_base(self, reader: Reader) -> bool:
        """Whether this reader is the base itself, whose scores are the base's."""
        return self.base and self.readers[reader] is None


@dataclass(frozen=True, slots=True)
class EnsembleLogits:
    """Logits of one pass over n slots and q positions.

    `readers` has for each ARM or start the slots that it serves [m] and its logits there [m, q, v].
    """

    base: Tensor | None  # [n, q, v]
    draft: Tensor | None  # [n, q, v], zeros in a slot that the drafting model has no sequence of
    readers: Mapping[Reader, tuple[Tensor, Tensor]]


@dataclass(frozen=True, eq=False)
class PartSlots:
    """The slot of each sequence of one part's batch, and of how many slots those are."""

    part: Part
    total: int
    slots: list[int]
    slot_ids: Tensor  # [sequences] the same, on the model's device
    serving: dict[Reader, list[int]]  # of each reader, the slots that it serves
    served: dict[Reader, Tensor]  # the same [m], on the model's device


@dataclass(frozen=True, eq=False)
class PartLogits:
    """What one part's pass gave: logits of all rows at the head [r, q, v]."""

    places: PartSlots
    rows: RowLayout
    logits: Tensor


def gathered(read: Iterable[PartLogits]) -> EnsembleLogits:
    """The logits of base, draft and readers from those of the parts."""
    base = draft = None
    readers: dict[Reader, tuple[Tensor, Tensor]] = {}
    for of_part in read:
        places, rows, part = of_part.places, of_part.rows, of_part.places.part
        logits = of_part.logits[..., : part.trunk.vocab]
        if part.base:
            base = rows.bare_logits(logits)
        if part.draft:
            draft = _all_slots(rows.bare_logits(logits), places)
        for reader, adapter in part.readers.items():
            slots = places.served[reader]
            if len(slots):
                readers[reader] = slots, _reader_logits(places, rows, logits, slots, adapter)
    return EnsembleLogits(base, draft, readers)


def _all_slots(logits: Tensor, places: PartSlots) -> Tensor:
    if len(logits) == places.total:
        return logits
    return logits.new_zeros(places.total, *logits.shape[1:]).index_copy_(0, places.slot_ids, logits)


def _reader_logits(
    places: PartSlots, rows: RowLayout, logits: Tensor, slots: Tensor, adapter: str | None
) -> Tensor:
    """The logits of an ARM or a start in the slots that it serves, [m, q, v]."""
    if adapter is not None:
        return rows.adapter_logits(logits, adapter)
    bare = rows.bare_logits(logits)
    return bare if len(slots) == len(bare) else bare[torch.searchsorted(places.slot_ids, slots)]
