"""A model that reads what the base reads, and beside it the continuations of each step's candidates.

It is a part of the engine's ensemble, so its cache comes and goes with the slots; but it is not fed with the
newest token: that one was a candidate, whose columns were kept.
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from genarm.baselines.branches import Branches
from genarm.decoding.engine.slots import Slots
from genarm.decoding.runner.ensemble import Ensemble, Part


@dataclass(frozen=True)
class Following:
    """The branches of one model in one step, for the m of n slots that it serves."""

    branches: Branches
    live: np.ndarray  # [m] whether the slot has a request
    passes: Counter[str]
    role: str
    reader: str | None  # the adapter whose rows are asked, None for the bare model

    def read(self, ids: Tensor, counted: Tensor) -> Tensor:
        """Read the next tokens of every branch, ids [m, k, q]: what the model gives there [m, k, q, v].

        `counted` [m, k] is how many of the q tokens of each are no padding.
        """
        batch = self.branches.batch
        logits = self.branches.read(ids.to(batch.trunk.device))
        assert logits is not None
        live = torch.from_numpy(self.live).to(counted.device)
        self.passes[self.role] += int(counted[live].sum())
        if self.reader is None:
            return batch.bare_logits(logits)
        return batch.adapter_logits(logits, self.reader)

    def keep(self, branch: Tensor) -> None:
        """Go on with the first token of one branch [m] of each slot that has a request."""
        self.branches.keep(branch, self.live.astype(np.int64))


class Follower:
    """One part of the ensemble by its name in it; what it reads counts for `role`."""

    def __init__(self, part: Part, name: str, role: str) -> None:
        self.part, self.name, self.role = part, name, role

    def begin(self, ensemble: Ensemble, slots: Slots, k: int, passes: Counter[str]) -> Following | None:
        """k empty branches for each of its slots, after what the base has read; None where it has no slot.

        A prompt's last token is read here, as the base reads it in its first step.
        """
        here = next((of for of in ensemble.batches if of.part is self.part), None)
        if here is None:
            return None
        batch, base = here.batch, next(of for of in ensemble.batches if of.part.base).batch
        live = slots.live[here.slots]
        behind = live & (batch.lengths < base.lengths[here.slots])
        if behind.any():
            newest = torch.from_numpy(slots.next[here.slots][:, None]).to(batch.trunk.device)
            batch.feed(newest, behind.astype(np.int64), head=None)
            passes[self.role] += int(behind.sum())
        return Following(Branches(batch, k), live, passes, self.role, self.part.arms[self.name])
