"""A challenger in service beside the champion: who they are, what they answered, which was preferred."""

import hashlib
from dataclasses import dataclass

from genarm.types.arm import Champion


@dataclass(frozen=True, slots=True)
class Trial:
    """A challenger at the weight and guidance that it is tried at, and the champion that it stands beside."""

    dimension: str
    challenger: Champion
    champion: Champion

    @property
    def key(self) -> str:
        """16 hex digits that change with either side's adapter, weight or guidance."""
        sides = [
            f"{side.adapter_sha256} {side.weight!r} {side.guidance}"
            for side in (self.challenger, self.champion)
        ]
        return hashlib.sha256("\n".join([self.dimension, *sides]).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class CanaryOutcome:
    """One prompt that both sides answered, and how the challenger did.

    `challenger` is 1 where its answer was preferred, 0 where the champion's was, 1/2 for a tie; anything
    between is a mean of several verdicts. `id` is the prompt's: an id counts once. `by` says who judged.
    """

    id: str
    challenger: float
    by: str = ""


@dataclass(frozen=True, slots=True)
class Responses:
    """How many responses one side gave, how many failed, and how many exceed a limit."""

    given: int = 0
    failed: int = 0
    unhealthy: int = 0

    def __add__(self, other: "Responses") -> "Responses":
        return Responses(
            self.given + other.given, self.failed + other.failed, self.unhealthy + other.unhealthy
        )
