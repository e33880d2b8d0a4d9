"""The search for the strength at which a row stands at a given KL from the base.

A method's KL grows with its strength, and their logarithms lie nearly on a line. So the range is halved in
the logarithm: the middle is tried, then the end on whose side the KL lies, and from then on, between the
nearest two tried of which one is too weak and one too strong, where the line through them has the KL. That
needs fewer tries than halving alone. What exceeds a limit of the text counts as too strong. A curve that does
not rise throughout is searched where it first passes the KL, and as long as all that was tried is on one side
of it, at the other end and in the widest gap; the nearest of all points is taken.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from genarm.experiments.drift import stands_at

EDGE = 0.1  # of the distance between two tried: no nearer to either is the next one


@dataclass(frozen=True, slots=True)
class Aim:
    """What is searched for: a KL in nats a token, to within a share of it, by a strength within a range."""

    kl: float
    tolerance: float
    least: float
    largest: float
    tries: int

    def reached(self, kl: float) -> bool:
        """Whether a KL counts as the one that is searched for."""
        return stands_at(kl, self.kl, self.tolerance)


@dataclass(frozen=True, slots=True)
class Point:
    """A strength that was tried, its KL in nats a token, and the limits of the text that it exceeds."""

    strength: float
    kl: float
    faults: Sequence[str] = ()


def next_strength(aim: Aim, tried: Sequence[Point]) -> float | None:
    """The strength to try next; None where the KL is reached, cannot be, or no try is left."""
    if len(tried) >= aim.tries or any(aim.reached(p.kl) and not p.faults for p in tried):
        return None
    if not tried:
        return _between(aim.least, aim.largest, 0.5)
    strong = [_too_strong(aim, point) for point in tried]
    if not any(strong) or all(strong):
        return _on_one_side(aim, tried, all(strong))
    between = _within(aim, *_bracket(aim, tried))
    return None if between in (point.strength for point in tried) else between


def nearest(aim: Aim, tried: Sequence[Point]) -> Point:
    """The point that is taken, of those whose text keeps the limits, if there are any.

    The nearest that counts as reached; else the one with the most KL below, else that with the least above.
    Where none keeps the limits, the one with the least KL.
    """
    kept = [point for point in tried if not point.faults]
    if there := [point for point in kept if aim.reached(point.kl)]:
        return min(there, key=lambda point: (abs(point.kl - aim.kl), point.strength))
    if below := [point for point in kept if point.kl <= aim.kl]:
        return max(below, key=lambda point: (point.kl, -point.strength))
    return min(kept or tried, key=lambda point: (point.kl, point.strength))


def missed(aim: Aim, tried: Sequence[Point]) -> str | None:
    """Why what is taken does not stand at the KL, in words; None where it does."""
    taken = nearest(aim, tried)
    if taken.faults:
        return f"none of {len(tried)} strengths that were tried keeps the limits of the text"
    if aim.reached(taken.kl):
        return None
    stronger = [point for point in tried if point.strength > taken.strength]
    if taken.kl > aim.kl and taken.strength == aim.least:
        return f"even {aim.least:g}, the least of its range, goes further"
    if taken.kl < aim.kl and taken.strength == aim.largest:
        return f"{aim.largest:g}, the end of its range, goes no further"
    if stronger and (first := min(stronger, key=lambda point: point.strength)).faults:
        return f"{first.strength:g} exceeds a limit of the text: {first.faults[0]}"
    return f"it was not found in {len(tried)} {'try' if len(tried) == 1 else 'tries'}"


def _too_strong(aim: Aim, point: Point) -> bool:
    return bool(point.faults) or point.kl > aim.kl


def _bracket(aim: Aim, tried: Sequence[Point]) -> tuple[Point, Point]:
    """Two neighbours of which one is too strong: where the curve first rises through the KL, if it does."""
    ordered = sorted(tried, key=lambda point: point.strength)
    pairs = [pair for pair in pairwise(ordered) if _too_strong(aim, pair[0]) != _too_strong(aim, pair[1])]
    return next((pair for pair in pairs if _too_strong(aim, pair[1])), pairs[0])


def _on_one_side(aim: Aim, tried: Sequence[Point], strong: bool) -> float | None:
    """The next one where all are too strong, or all too weak: the end of the range on the other side.

    Where that is no help and the curve falls, by more than the tolerance, the other end and the widest gap.
    """
    ordered = sorted(tried, key=lambda point: point.strength)
    known, ends = [point.strength for point in ordered], [aim.least, aim.largest]
    if not strong:
        ends.reverse()
    if ends[0] not in known:
        return ends[0]
    if not any(low.kl - high.kl > aim.tolerance * aim.kl for low, high in pairwise(ordered)):
        return None
    if ends[1] not in known:
        return ends[1]
    low, high = max(pairwise(known), key=lambda pair: pair[1] / pair[0])
    return _between(low, high, 0.5)


def _within(aim: Aim, low: Point, high: Point) -> float:
    """Where the line through two points, in logarithms, has the KL; their middle where one has it already."""
    share = 0.5
    passes = (low.kl - aim.kl) * (high.kl - aim.kl) < 0 and min(low.kl, high.kl) > 0
    if passes and not (aim.reached(low.kl) or aim.reached(high.kl)):
        share = math.log(aim.kl / low.kl) / math.log(high.kl / low.kl)
    return _between(low.strength, high.strength, min(max(share, EDGE), 1 - EDGE))


def _between(low: float, high: float, share: float) -> float:
    """A strength between two, in the logarithm, to four digits: what is written is what was tried."""
    return float(f"{low * (high / low) ** share:.4g}")
