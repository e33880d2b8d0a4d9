"""Which pairs train together: steps drawn at random, each cut into packs of at most so many tokens."""

import math
import random
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from genarm.errors import ConfigError


def pack(tokens: Sequence[int], most: int, multiple: int = 1) -> list[list[int]]:
    """Indices of rows dealt into as few packs of at most `most` tokens as are found, as even as possible.

    The longest first, each into the emptiest pack; more packs where that does not fit. Their number is a
    multiple of `multiple`, unless there are not as many rows.
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


def deal(packs: Sequence[list[int]], tokens: Sequence[int], ranks: int) -> list[list[list[int]]]:
    """Packs to processes, as even in tokens as possible, at most one more to one than to another.

    `tokens` says how long each pack is. The longest first, each to the process with the least to do of those
    with the fewest packs... so that all do as many forward passes, which sharded models need.
    """
    hands: list[list[list[int]]] = [[] for _ in range(ranks)]
    filled = [0] * ranks
    most = -(-len(packs) // ranks)
    for i in sorted(range(len(packs)), key=lambda i: (-tokens[i], i)):
        rank = min((r for r in range(ranks) if len(hands[r]) < most), key=lambda r: (filled[r], r))
        hands[rank].append(packs[i])
        filled[rank] += tokens[i]
    return hands


class Plan(Sequence[list[list[int]]]):
    """The steps of a whole training; step k is a list of packs, a pack a list of pair indices.

    A step is `batch_pairs` pairs in the order of a fresh shuffle each epoch (the last step what is left), so
    it is a random sample whatever the lengths are. Only how a step is cut depends on lengths, and the mean
    over its pairs does not depend on how it is cut. Packs are made when asked for: for several processes, a
    multiple of their number where a step has pairs enough.
    """

    def __init__(
        self,
        tokens: npt.NDArray[np.int64],
        *,
        epochs: float,
        batch_pairs: int,
        batch_tokens: int,
        seed: int,
        ranks: int = 1,
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
        self._lengths, self._pairs, self._most, self._ranks = tokens, batch_pairs, batch_tokens, ranks

    def __len__(self) -> int:
        return -(-len(self.order) // self._pairs)

    def __getitem__(self, step: int) -> list[list[int]]:  # type: ignore[override]  # never sliced
        if not 0 <= step < len(self):
            raise IndexError(step)
        chosen = self.order[step * self._pairs : (step + 1) * self._pairs].tolist()
        packs = pack(self._lengths[chosen].tolist(), self._most, self._ranks)
        return [[chosen[i] for i in part] for part in packs]

    def shares(self, packs: Sequence[list[int]]) -> list[list[list[int]]]:
        """A step dealt to the processes -> one list of packs each, empty where pairs do not reach."""
        return deal(packs, [int(self._lengths[pack].sum()) for pack in packs], self._ranks)


def check_budget(tokens: npt.NDArray[np.int64], most: int) -> None:
    """Raise ConfigError where the longest pair alone is more than a pack may hold."""
    longest = int(tokens.max())
    if longest > most:
        raise ConfigError(
            f"train.batch_tokens = {most}, but the longest pair has {longest} tokens "
            f"(prompt, chosen and rejected)",
            hint=f"set train.batch_tokens to at least {longest}, or pairs.max_tokens lower",
        )
