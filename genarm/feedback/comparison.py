"""Two responses to one prompt that a person compares, and the vote; A and B are sides that chance dealt."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Choice = Literal["a", "b", "tie"]


@dataclass(frozen=True, slots=True)
class Answer:
    """One of the two responses, and how it was drawn."""

    text: str
    weights: Mapping[str, float]
    versions: Mapping[str, int]
    seed: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a person is shown, and what they are not shown before they vote.

    `guided` is the side on which the dimension guides, or guides at the weight that was asked for; in a trial
    the challenger's. `key` is the name of the API key, never the key; `user` is whom the client names. Times
    are seconds since 1970.
    """

    id: str
    key: str
    user: str
    dimension: str
    prompt: Sequence[Mapping[str, str]]
    a: Answer
    b: Answer
    guided: Literal["a", "b"]
    sampling: Mapping[str, Any]
    base: str
    consent: bool
    created: float
    expires: float

    @property
    def of_guided(self) -> Answer:
        """The answer of the guided side."""
        return self.a if self.guided == "a" else self.b

    @property
    def of_other(self) -> Answer:
        """The answer of the other side."""
        return self.b if self.guided == "a" else self.a

    @property
    def on_trial(self) -> bool:
        """Whether two versions of the dimension are compared: a challenger and the champion."""
        versions = [answer.versions.get(self.dimension) for answer in (self.of_guided, self.of_other)]
        return None not in versions and versions[0] != versions[1]


@dataclass(frozen=True, slots=True)
class Vote:
    """What a person preferred. `seq` numbers the votes of a store in the order in which they came in."""

    seq: int
    comparison: Comparison
    choice: Choice
    reason: str
    at: float

    @property
    def preferred(self) -> Literal["guided", "other", "tie"]:
        """Which of the two won."""
        if self.choice == "tie":
            return "tie"
        return "guided" if self.choice == self.comparison.guided else "other"
