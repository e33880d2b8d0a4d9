"""How the text of one side reads, measured without a judge: length, repetition, perplexity and KL."""

import itertools
import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from genarm.errors import DataError
from genarm.types import Response, Side, TextHealth

REPETITION_FLOOR = 0.02
WORD = "word"


@dataclass(frozen=True, slots=True)
class Limit:
    """The most that a number of the text may be, and what that is made of."""

    name: str
    most: float
    meaning: str

    def check(self, value: float) -> tuple[bool, str]:
        """Whether a value keeps the limit, and the sentence with both; what is no number does not."""
        kept = value <= self.most
        sign = "<=" if kept else ">"
        return kept, f"{self.name} {value:.3g} {sign} {self.most:.3g}, {self.meaning}"


def health_limits(base: TextHealth, ratio: float) -> tuple[Limit, Limit]:
    """The limits of perplexity and of repetition: `ratio` times the base's own.

    Repetition may always exceed the base's by 0.02, since a base that never repeats itself would otherwise
    forbid any repetition.
    """
    times = f"{ratio:g} times the base's"
    repetition = Limit("repetition", base.repetition * ratio, times)
    if base.repetition * (ratio - 1) < REPETITION_FLOOR:
        most = base.repetition + REPETITION_FLOOR
        repetition = Limit("repetition", most, f"the base's + {REPETITION_FLOOR:g}")
    return Limit("perplexity", base.perplexity * ratio, times), repetition


def repetition(text: str) -> float:
    """Share of 4-grams that were seen before in the same text; 0 below four parts.

    Parts are words, in lower case, and symbols, a run of one symbol being one part: a text that goes round in
    circles without white space ("so-so-so-so"), as a judge that counts words rewards it, is not one word.
    """
    runs = itertools.groupby(text.lower(), _kind)
    parts = [kind if kind != WORD else "".join(run) for kind, run in runs if kind]
    grams = [tuple(parts[i : i + 4]) for i in range(len(parts) - 3)]
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def _kind(character: str) -> str:
    """Nothing for white space, a symbol for itself; all else, combining marks too, is of a word."""
    if character.isspace():
        return ""
    return character if unicodedata.category(character)[0] in "PS" else WORD


def text_health(side: Side, responses: Sequence[Response]) -> TextHealth:
    """Length, repetition, perplexity and KL of one side's responses, and how many ended by themselves.

    perplexity = exp(-sum base_logprob / sum tokens) over all responses, the others are means over responses.
    Raises DataError where there is no token to measure.
    """
    tokens = sum(r.tokens for r in responses)
    if tokens == 0:
        raise DataError(f"the {side} answered with no token at all", hint="look at its responses file")
    n = len(responses)
    return TextHealth(
        side=side,
        mean_tokens=tokens / n,
        repetition=math.fsum(repetition(r.text) for r in responses) / n,
        perplexity=math.exp(-math.fsum(r.base_logprob for r in responses) / tokens),
        kl=math.fsum(r.kl for r in responses) / n,
        finished=sum(r.finish_reason == "stop" for r in responses) / n,
    )
