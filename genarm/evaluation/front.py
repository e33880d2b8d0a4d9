"""Mixtures of several ARMs: which shares to try, and which of the results no other one beats.

Only numbers pass through here. A mixture gives each ARM a share of the weight that it was tuned for, and the
shares sum to 1; so one ARM alone at its own weight is a mixture, too.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from genarm.types import Estimate, TextHealth


@dataclass(frozen=True, slots=True)
class Mixture:
    """One mixture, or the base where it has no weights: its win rates over the base, and its text.

    `held_out` has the win rates by the held-out judges, of the dimensions that have one. `on_front` says
    that no other one has a win rate as high on every dimension and a higher one on some.
    """

    name: str
    weights: Mapping[str, float]
    win_rates: Mapping[str, Estimate]
    held_out: Mapping[str, Estimate]
    health: TextHealth
    on_front: bool


def simplex(parts: int, steps: int) -> list[tuple[float, ...]]:
    """All shares in multiples of 1 / steps that sum to 1, the first part's falling from 1 to 0.

    There are (steps + parts - 1) over (parts - 1) of them: 5 for two parts in four steps, 15 for three.
    """
    counts = itertools.product(range(steps, -1, -1), repeat=parts)
    return [tuple(c / steps for c in count) for count in counts if sum(count) == steps]


def non_dominated(points: Sequence[Sequence[float]]) -> list[bool]:
    """Whether no other point is as high everywhere and higher somewhere, for each; equal ones both stay."""
    return [
        not any(
            all(o >= p for o, p in zip(other, point, strict=True))
            and any(o > p for o, p in zip(other, point, strict=True))
            for other in points
        )
        for point in points
    ]
