"""Two responses to one prompt that a person compares, and the vote; A and B are sides that chance dealt."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Choice = Literal["a", "b", "tie"]


@dataclass(frozen=True, slots=True)
class Answer:
    """One of the two responses, and how it was drawn.

    `characters` has its length where the text was deleted. `trial` is the key of the trial in which the two
    sides are compared, empty where that is none.
    """

    text: str
    weights: Mapping[str, float]
    versions: Mapping[str, int]
    seed: int
    characters: int = 0
    trial: str = ""

    @property
    def length(self) -> int:
        """Its characters, also when they are deleted."""
        return self.characters or len(self.text)


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
    def trial(self) -> str:
        """The key of the trial in which a challenger is compared with the champion; else empty."""
        return self.a.trial


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
