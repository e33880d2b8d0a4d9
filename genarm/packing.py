"""Which pairs train together: steps drawn at random, each cut into packs of at most so many tokens."""

import math
import random
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from genarm.errors import ConfigError


def pack(tokens: Sequence[int], most: int) -> list[list[int]]:
    """Indices of rows dealt into as few packs of at most `most` tokens as are found, as even as possible.

    The longest first, each into the emptiest pack; one pack more where that does not fit.
    """
    by_length = sorted(range(len(tokens)), key=lambda i: (-tokens[i], i))
    count = max(1, math.ceil(sum(tokens) / most))
    while True:
        packs: list[list[int]] = [[] for _ in range(count)]
        filled = [0] * count
        for i in by_length:
            emptiest = filled.index(min(filled))
            packs[emptiest].append(i)
            filled[emptiest] += tokens[i]
        if max(filled) <= most or count >= len(tokens):
            return [sorted(p) for p in packs if p]
        count += 1


class Plan(Sequence[list[list[int]]]):
    """The steps of a whole training; step k is a list of packs, a pack a list of pair indices.

    A step is `batch_pairs` pairs in the order of a fresh shuffle each epoch (the last step what is left), so
    it is a random sample whatever the lengths are. Only how a step is cut depends on lengths, and the mean
    over its pairs does not depend on how it is cut. Packs are made when asked for.
    """

    def __init__(
        self, tokens: npt.NDArray[np.int64], *, epochs: float, batch_pairs: int, batch_tokens: int, seed: int
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
        self._lengths, self._pairs, self._most = tokens, batch_pairs, batch_tokens

    def __len__(self) -> int:
        return -(-len(self.order) // self._pairs)

    def __getitem__(self, step: int) -> list[list[int]]:  # type: ignore[override]  # never sliced
        if not 0 <= step < len(self):
            raise IndexError(step)
        chosen = self.order[step * self._pairs : (step + 1) * self._pairs].tolist()
        packs = pack(self._lengths[chosen].tolist(), self._most)
        return [[chosen[i] for i in part] for part in packs]


def check_budget(tokens: npt.NDArray[np.int64], most: int) -> None:
    """Raise ConfigError where the longest pair alone is more than a pack may hold."""
    longest = int(tokens.max())
    if longest > most:
        raise ConfigError(
            f"train.batch_tokens = {most}, but the longest pair has {longest} tokens "
            f"(prompt, chosen and rejected)",
            hint=f"set train.batch_tokens to at least {longest}, or pairs.max_tokens lower",
        )
