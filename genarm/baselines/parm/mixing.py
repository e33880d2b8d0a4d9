"""Pairs of several dimensions in one training: in every step a share of each, and one preference vector."""

import hashlib
import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from genarm.config import TrainConfig
from genarm.training.packing import PackedSteps
from genarm.training.process_group import world_size
from genarm.training.token_cache import TokenPairs


class _Rows:
    """The rows of several sets of pairs, one after the other."""

    def __init__(self, parts: Sequence[TokenPairs]) -> None:
        self._parts, self._ends = parts, np.cumsum([len(part) for part in parts])

    def __getitem__(self, row: int) -> dict[str, Any]:
        which = int(np.searchsorted(self._ends, row, side="right"))
        pair = self._parts[which][row - int(self._ends[which]) + len(self._parts[which])]
        return {name: getattr(pair, name) for name in ("prompt_id", "prompt", "chosen", "rejected")}


def joined(parts: Sequence[TokenPairs]) -> TokenPairs:
    """The pairs of all dimensions as one set, dimension after dimension."""
    key = hashlib.sha256(" ".join(part.fingerprint for part in parts).encode()).hexdigest()
    lengths = np.concatenate([part.lengths for part in parts])
    return TokenPairs(key, _Rows(parts), np.arange(len(lengths)), lengths)


class MixedSteps(PackedSteps):
    """Steps in which the dimensions take turns, pair by pair, each through shuffles of its own.

    So every step holds pairs of each dimension, as many as of any other or one more. One that has fewer pairs
    than others repeats them more often. The number of steps is that of all pairs, `epochs` times.
    """

    def __init__(self, parts: Sequence[TokenPairs], config: TrainConfig) -> None:
        super().__init__(
            np.concatenate([part.row_tokens for part in parts]),
            epochs=config.epochs,
            batch_pairs=config.batch_pairs,
            batch_tokens=config.batch_tokens,
            seed=config.seed,
            processes=world_size(),
        )
        sizes = [len(part) for part in parts]
        self.dimension = np.repeat(np.arange(len(parts)), sizes)  # [n] which dimension each pair is of
        each = -(-len(self) * config.batch_pairs // len(parts))
        starts = np.cumsum([0, *sizes])
        turns = [starts[i] + _walk(size, each, f"{config.seed} {i}") for i, size in enumerate(sizes)]
        self.order = np.stack(turns, 1).ravel()[: len(self) * config.batch_pairs].astype(np.int32)
        self.tokens = int(self._lengths[self.order].sum())

    def counts(self, step: int) -> Tensor:
        """How many pairs of a step are of each dimension -> [k]."""
        pairs = self.order[step * self._batch_pairs : (step + 1) * self._batch_pairs]
        counts = np.bincount(self.dimension[pairs], minlength=int(self.dimension[-1]) + 1)
        return torch.from_numpy(counts).float()


def _walk(size: int, length: int, seed: str) -> npt.NDArray[np.int64]:
    """So many of the first `size` numbers, in one shuffle after the other."""
    rng, order = random.Random(seed), list[int]()
    while len(order) < length:
        shuffle = list(range(size))
        rng.shuffle(shuffle)
        order += shuffle
    return np.array(order[:length], dtype=np.int64)


def drawn_vector(seed: int, step: int, dimensions: int, concentration: float) -> Tensor:
    """The preference vector of a step, of a symmetric Dirichlet distribution -> [k] float32.

    It depends on the seed and the step alone, so a training that is resumed draws the same.
    """
    drawn = np.random.default_rng([seed, step]).dirichlet([concentration] * dimensions)
    return torch.from_numpy(drawn).float()
