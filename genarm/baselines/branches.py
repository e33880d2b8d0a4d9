"""Continuations of every sequence of a batch, read beside each other: they share the text before them.

A branch is a run of columns at the end of the sequence's part of the cache. A mask lets a branch see the text
and itself, and its positions go on where the text ends, so k branches cost the tokens that they hold: nothing
is read again and no cache is copied. One branch may be kept; its columns then move to where the text ends.
"""

from functools import partial

import numpy as np
import torch
from torch import Tensor

from genarm.decoding.runner.batch import ModelBatch
from genarm.decoding.runner.forward import Inputs
from genarm.decoding.runner.kv_cache import hidden_score


class Branches:
    """k branches of each of n sequences. While they grow, the batch itself must not be fed."""

    def __init__(self, batch: ModelBatch, k: int) -> None:
        self.batch, self.k = batch, k
        self.depth = 0  # tokens that each branch holds
        self._origin = batch.cache.end
        device = batch.positions.device
        self._lengths = torch.from_numpy(batch.lengths).to(device)  # [n]
        self._branch = torch.zeros(0, dtype=torch.long, device=device)  # [columns] whose each one is
        self._offset = torch.zeros(0, dtype=torch.long, device=device)  # [columns] its place in the branch

    @staticmethod
    def columns(k: int, depth: int) -> int:
        """How many columns of the cache so many branches of such a length take."""
        return k * depth

    def read(self, ids: Tensor, *, head: bool = True) -> Tensor | None:
        """Read the next tokens of every branch, ids [n, k, q]: logits [rows at the top, k, q, v].

        The rows are those of `ModelBatch.feed`. Without `head` there are none.
        """
        n, k, q = ids.shape
        device, batch = self._branch.device, self.batch
        self._branch = torch.cat((self._branch, torch.arange(k, device=device).repeat_interleave(q)))
        offsets = (self.depth + torch.arange(q, device=device)).repeat(k)
        self._offset = torch.cat((self._offset, offsets))
        positions = self._lengths[:, None] + offsets  # [n, k * q]
        masks: dict[int | None, Tensor] = {}
        inputs = Inputs(ids.reshape(n, k * q), positions.clamp(max=batch.last), partial(self._mask, q, masks))
        forward_pass = batch.trunk.forward_pass
        logits = forward_pass.run(inputs, batch, batch.cache, slice(None) if head else None)
        batch.cache.end += k * q
        self.depth += q
        return None if logits is None else logits.view(len(logits), k, q, -1)

    def _mask(self, q: int, made: dict[int | None, Tensor], window: int | None) -> Tensor:
        """What to add to the scores of the newest q tokens of each branch, [n, 1, k * q, s]."""
        if window not in made:
            batch, newest = self.batch, self.k * q
            text = batch.positions[:, None, batch.cache.first : self._origin]  # [n, 1, t]
            branch, offset = self._branch[-newest:, None], self._offset[-newest:, None]
            of_branch = (branch != self._branch) | (offset < self._offset)  # [k * q, columns]
            of_text = (text < 0).expand(-1, newest, -1)
            if window is not None:
                of_branch = of_branch | (self._offset <= offset - window)
                of_text = of_text | (text <= self._lengths[:, None, None] + offset - window)
            unseen = torch.cat((of_text, of_branch.expand(len(text), -1, -1)), -1)
            mask = torch.zeros(unseen.shape, dtype=batch.trunk.dtype, device=unseen.device)
            made[window] = mask.masked_fill_(unseen, hidden_score(batch.trunk.dtype))[:, None]
        return made[window]

    def drop(self) -> None:
        """Forget all branches: the sequences are what they were."""
        self.batch.cache.end = self._origin

    def keep(self, branch: Tensor, counts: np.ndarray) -> None:
        """Let each sequence go on with the first `counts` [n] tokens of its `branch` [n]; the rest is gone.

        A sequence that has not started keeps none.
        """
        batch, most = self.batch, int(counts.max(initial=0))
        self.drop()
        if not most:
            return
        # [k, depth] the column of each token of each branch
        column = torch.empty(self.k, self.depth, dtype=torch.long, device=self._branch.device)
        column[self._branch, self._offset] = self._origin + torch.arange(
            len(self._branch), device=column.device
        )
        chosen = column[branch.to(column.device), :most]  # [n, most]
        stop = self._origin + most
        for layer, stored in batch.cache.layers.items():
            start, end = batch.span(layer)
            rows = chosen[batch.owners[start:end]][:, None, :, None]
            for tensor in stored:
                index = rows.expand(-1, tensor.shape[1], -1, tensor.shape[3])
                tensor[:, :, self._origin : stop] = tensor.gather(2, index)
        kept = torch.from_numpy(np.arange(most)[None] < counts[:, None]).to(column.device)
        positions = self._lengths[:, None] + torch.arange(most, device=column.device)
        batch.positions[:, self._origin : stop] = torch.where(kept, positions, -1)
        batch.holes |= bool((counts < most).any())
        batch.lengths = batch.lengths + counts
        batch.cache.end = stop
