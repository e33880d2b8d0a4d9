"""What tuning has chosen for a row: a noun that answering and the table read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from genarm.types import Estimate


@dataclass(frozen=True, slots=True)
class Tried:
    """Settings that were tried on validation prompts, and the limits of the text that they exceed."""

    settings: Mapping[str, Any]
    win_rate: Estimate
    kl: float
    perplexity: float
    repetition: float
    faults: Sequence[str] = field(default_factory=list)
    value: float | None = None  # of a constraint: the weight or share that was tried
    reached: Estimate | None = None  # what the constraint measures, and its simultaneous lower bound
    bound: float | None = None


@dataclass(frozen=True, slots=True)
class Chosen:
    """The settings that a row answers with, and all that were tried.

    `refused` says why none of them meets the row's constraint: it then answers nothing. `missed` says why the
    row does not stand at the KL that rows are compared at, where one is named.
    """

    settings: Mapping[str, Any]
    within_limits: bool
    curve: Sequence[Tried]
    value: float | None = None  # of a constraint: the least that meets it
    refused: str | None = None
    missed: str | None = None

    @property
    def taken(self) -> Tried | None:
        """What was measured of the settings that are taken; None where none are."""
        return next((tried for tried in self.curve if tried.settings == self.settings), None)
