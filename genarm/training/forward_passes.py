"""Pairs through a model without training: in packs, which the processes of a training share."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from genarm.training.collate import PairBatch, collate
from genarm.training.logps import BatchFunction
from genarm.training.packing import deal, pack
from genarm.training.process_group import rank, world_size
from genarm.training.tokens import TokenPair

TOKENS = 4096  # of a forward pass without gradients


class RunModel(Protocol):
    """Computes a function of the model and a batch, on the model's device."""

    def __call__(self, function: BatchFunction, batch: PairBatch) -> Tensor:
        """function(model, batch)."""
        ...


class ForwardPasses:
    """Some of many pairs, read again for each run; each process takes a share of the packs.

    `lengths` [n, 3] are the tokens of prompt, chosen and rejected of all, so that pairs are read only when
    needed, `start` [n, 2] goes with their batches. `sharded` says that weights are sharded over the
    processes, which must then run as many passes. Packs are a multiple of `multiple`: with one, they are the
    same for any number of processes, and so are their results.
    """

    def __init__(
        self,
        pairs: Sequence[TokenPair],
        lengths: npt.NDArray[np.int64],
        indices: Sequence[int],
        *,
        packed: bool,
        sharded: bool = False,
        multiple: int = 1,
        start: Tensor | None = None,
    ) -> None:
        self._pairs, self._packed, self._start = pairs, packed, start
        tokens = lengths[list(indices)].sum(1) - 2
        packs = pack(tokens.tolist(), max(TOKENS, int(tokens.max())), multiple)
        pair_packs = [[indices[i] for i in part] for part in packs]
        shares = deal(pair_packs, [int(tokens[part].sum()) for part in packs], world_size())
        self._share = shares[rank()]
        missing = max(map(len, shares)) - len(self._share) if sharded else 0
        self._padding = [shares[0][0]] * missing
        # The pairs of this process, in the order of their results.
        self.indices = [i for part in self._share for i in part]

    def run(self, function: BatchFunction, run: RunModel, device: torch.device) -> list[Tensor]:
        """`function` of each pack of this process; results of padding passes are dropped."""
        batches = (self._batch(part) for part in [*self._share, *self._padding])
        return [run(function, batch.to(device)) for batch in batches][: len(self._share)]

    def _batch(self, part: list[int]) -> PairBatch:
        start = None if self._start is None else self._start[part]
        return collate([self._pairs[i] for i in part], packed=self._packed, start=start)
