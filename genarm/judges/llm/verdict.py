"""What an answer says: the preference for answer A, from the probabilities of the labels or from the text."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Form = Literal["logprobs", "text"]
LABELS = ("A", "B")
# The one form that is asked for: a letter with no other beside it, after what some models think aloud.
_TEXT = re.compile(r"\s*(?:<think>.*</think>)?[\W_]*([AB])[\W_]*", re.DOTALL)
_ABOVE_ONE = 1e-3  # rounding of a log-probability that should be at most 0


@dataclass(frozen=True, slots=True)
class Reply:
    """What a server answered: who, the text, and the likeliest first tokens with their log-probabilities.

    `tops` is None where the server gives none. `model` and `fingerprint` are as the server reports them.
    """

    model: str
    fingerprint: str | None
    text: str
    tops: Sequence[tuple[str, float | None]] | None
    tokens_in: int = 0
    tokens_out: int = 0


def preference_for_a(reply: Reply, form: Form) -> float | None:
    """In [-1, 1]: 2p - 1, p = P(A) / (P(A) + P(B)); from the text 1 or -1. None where it cannot be read.

    A label may be written as ` A`; its spellings are added up. One that is not among the likeliest tokens has
    probability 0. (AlpacaEval 2 reads its judges in this way.)
    """
    if form == "text":
        said = _TEXT.fullmatch(reply.text)
        return None if said is None else (1.0 if said[1] == "A" else -1.0)
    found = [_probability(label, reply.tops or ()) for label in LABELS]
    total = math.fsum(found)
    if not math.isfinite(total) or total <= 0:
        return None
    return 2 * min(1.0, found[0] / total) - 1


def has_labels(reply: Reply) -> bool:
    """Whether the server gave log-probabilities in which a label can be read."""
    return preference_for_a(reply, "logprobs") is not None


def _probability(label: str, tops: Sequence[tuple[str, float | None]]) -> float:
    """The sum over the spellings of a label; NaN where one of them has no usable log-probability."""
    logs = [value for token, value in tops if token.strip() == label]
    if any(value is None or math.isnan(value) or value > _ABOVE_ONE for value in logs):
        return math.nan
    return math.fsum(math.exp(value) for value in logs if value is not None)
