"""How long pairs are, in tokens of the base model: counted many at a time, and summed up.

Tokenising takes some 300 bytes of memory a character, so what is tokenised together is bounded, and what no
number of allowed tokens could hold is refused by its characters alone.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np
from jinja2 import TemplateError

from genarm.data.refused import Refused
from genarm.models.chat_template import prompt_text
from genarm.models.pair_tokens import pair_ids
from genarm.types import PreferencePair

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

T = TypeVar("T")
BATCH = 1000  # pairs tokenised together, of at most so many characters unless one alone has more:
BATCH_CHARACTERS = 1_000_000
LEAST_CHARACTERS = 64  # that a token is taken to hold, since some fold white space or unknown letters


class Lengths(NamedTuple):
    """Tokens of one pair: the rendered prompt, and each response with its end token."""

    prompt: int
    chosen: int
    rejected: int


@dataclass(frozen=True, slots=True)
class TokenStats:
    """How long many texts are."""

    mean: float
    p50: int
    p95: int
    max: int


@dataclass(frozen=True, slots=True)
class CharacterLimit:
    """How many characters `max_tokens` tokens can hold: each as many as the longest token there is."""

    max_tokens: int
    characters: int

    @classmethod
    def of(cls, tokenizer: "PreTrainedTokenizerBase", max_tokens: int) -> "CharacterLimit":
        """The limit of a tokenizer; a text of more characters has more than `max_tokens` tokens."""
        longest = max(LEAST_CHARACTERS, *map(len, tokenizer.get_vocab()))
        return cls(max_tokens, max_tokens * longest)

    def check(self, pair: PreferencePair) -> None:
        """Raise Refused where prompt and longer response together have more."""
        prompt = sum(len(m.content) for m in pair.prompt.messages)
        response = max(len(pair.chosen), len(pair.rejected))
        if prompt + response > self.characters:
            detail = f"prompt {prompt} + response {response} characters, more than {self.characters}"
            raise Refused(too_long(self.max_tokens), detail)


def too_long(max_tokens: int) -> str:
    """Why a pair with more tokens is refused."""
    return f"longer than {max_tokens} tokens"


def batches(rows: Iterable[tuple[T, PreferencePair]]) -> Iterator[list[tuple[T, PreferencePair]]]:
    """Rows in groups that are tokenised together; the groups do not change the lengths."""
    batch, size = list[tuple[T, PreferencePair]](), 0
    for row in rows:
        batch.append(row)
        pair = row[1]
        # The prompt is tokenised alone and before each response.
        size += 3 * sum(len(m.content) for m in pair.prompt.messages) + len(pair.chosen) + len(pair.rejected)
        if len(batch) == BATCH or size >= BATCH_CHARACTERS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def token_lengths(
    pairs: Sequence[PreferencePair], tokenizer: "PreTrainedTokenizerBase"
) -> list[Lengths | Refused]:
    """The lengths of many pairs at once, by the rule that training tokenises them with.

    A pair whose prompt the chat template refuses gives Refused. Raises DataError where the tokenizer has no
    token that ends a turn.
    """
    texts = [_prompt_text(pair, tokenizer) for pair in pairs]
    rendered = [(text, pair) for text, pair in zip(texts, pairs, strict=True) if text is not None]
    ids = iter(pair_ids(tokenizer, [text for text, _ in rendered], [pair for _, pair in rendered]))
    return [
        Refused("the chat template refuses the prompt")
        if text is None
        else Lengths(*(len(side) for side in next(ids)))
        for text in texts
    ]


def token_stats(lengths: Sequence[int]) -> TokenStats:
    """Mean, median, 95th percentile and maximum; zeros where there is nothing."""
    if not lengths:
        return TokenStats(0.0, 0, 0, 0)
    p50, p95 = np.percentile(lengths, (50, 95), method="higher")
    return TokenStats(round(float(np.mean(lengths)), 1), int(p50), int(p95), max(lengths))


def longer_is_chosen(lengths: Sequence[tuple[int, int]]) -> float:
    """How often a rule that prefers the longer response is right; equal lengths count half.

    A length is (chosen, rejected), in tokens or words; 0 where there is none.
    """
    right = sum(1.0 if chosen > rejected else 0.5 * (chosen == rejected) for chosen, rejected in lengths)
    return right / len(lengths) if lengths else 0.0


def _prompt_text(pair: PreferencePair, tokenizer: "PreTrainedTokenizerBase") -> str | None:
    try:
        return prompt_text(tokenizer, pair.prompt.messages)
    except TemplateError:  # a template refuses what its model does not know, such as a system message
        return None
