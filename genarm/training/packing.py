"""Which pairs train together: steps drawn at random, each cut into packs of at most so many tokens."""

import math
import random
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from genarm.errors import ConfigError


def pack(tokens: Sequence[int], most: int, multiple: int = 1) -> list[list[int]]:
    """Indices of rows in as few packs of at most `most` tokens as this finds, as even as possible.

    The longest first, each into the emptiest pack; more packs where that does not fit. Their number is a
    multiple of `multiple`, unless there are fewer rows than that.
    """
    by_length = sorted(range(len(tokens)), key=lambda i: (-tokens[i], i))
    count = multiple * max(1, math.ceil(sum(tokens) / most / multiple))
    while True:
        packs: list[list[int]] = [[] for _ in range(count)]
        filled = [0] * count
        for i in by_length:
            emptiest = filled.index(min(filled))
            packs[emptiest].append(i)
            filled[emptiest] += tokens[i]
        if max(filled) <= most or count >= len(tokens):
            return [sorted(p) for p in packs if p]
        count += multiple


def deal(packs: Sequence[list[int]], tokens: Sequence[int], processes: int) -> list[list[list[int]]]:
    """Packs for each process, as even in tokens as possible, at most one more for one than for another.

    `tokens` is the length of each pack. The longest first, each to the process with the fewest tokens of
    those that have room left: all run as many forward passes, which sharded models need.
    """
    shares: list[list[list[int]]] = [[] for _ in range(processes)]
    filled = [0] * processes
    most = -(-len(packs) // processes)
    for i in sorted(range(len(packs)), key=lambda i: (-tokens[i], i)):
        process = min((p for p in range(processes) if len(shares[p]) < most), key=lambda p: (filled[p], p))
        shares[process].append(packs[i])
        filled[process] += tokens[i]
    return shares


class PackedSteps(Sequence[list[list[int]]]):
    """The steps of a whole training; step k is a list of packs, a pack a list of pair indices.

    A step is `batch_pairs` pairs in the order of a fresh shuffle each epoch (the last step has the rest), so
    it is a random sample whatever the lengths are. Only how a step is cut depends on lengths, and the mean
    over its pairs does not depend on how it is cut. Packs are made when asked for: for several processes, a
    multiple of their number where a step has enough pairs.
    """

    def __init__(
        self,
        tokens: npt.NDArray[np.int64],
        *,
        epochs: float,
        batch_pairs: int,
        batch_tokens: int,
        seed: int,
        processes: int = 1,
    ) -> None:
        check_budget(tokens, batch_tokens)
        rng, total = random.Random(seed), max(1, round(epochs * len(tokens)))
        shuffles = []
        for _ in range(-(-total // len(tokens))):
            shuffle = list(range(len(tokens)))
            rng.shuffle(shuffle)
            shuffles.append(np.array(shuffle, dtype=np.int32))
        self.order = np.concatenate(shuffles)[:total]
        self.tokens = int(tokens[self.order].sum())
        self._lengths, self._batch_pairs, self._batch_tokens = tokens, batch_pairs, batch_tokens
        self._processes = processes

    def __len__(self) -> int:
        return -(-len(self.order) // self._batch_pairs)

    def __getitem__(self, step: int) -> list[list[int]]:  # type: ignore[override]  # never sliced
        if not 0 <= step < len(self):
            raise IndexError(step)
        pairs = self.order[step * self._batch_pairs : (step + 1) * self._batch_pairs].tolist()
        packs = pack(self._lengths[pairs].tolist(), self._batch_tokens, self._processes)
        return [[pairs[i] for i in part] for part in packs]

    def shares(self, packs: Sequence[list[int]]) -> list[list[list[int]]]:
        """The packs of one step for each process; some have none where there are too few pairs."""
        return deal(packs, [int(self._lengths[pack].sum()) for pack in packs], self._processes)


def check_budget(tokens: npt.NDArray[np.int64], most: int) -> None:
    """Raise ConfigError where the longest pair alone has more tokens than a pack may hold."""
    longest = int(tokens.max())
    if longest > most:
        raise ConfigError(
            f"train.batch_tokens = {most}, but the longest pair has {longest} tokens "
            f"(prompt, chosen and rejected)",
            hint=f"set train.batch_tokens to at least {longest}, or pairs.max_tokens lower",
        )
