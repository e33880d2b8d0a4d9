"""Which pairs are tokenised, and how many together, so that no row costs unbounded time or memory.

Tokenising takes some 300 bytes of memory a character. So what is tokenised together is bounded, and what the
allowed number of tokens cannot hold is refused by its characters, before it is tokenised.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from genarm.data.refused import Refused
from genarm.types import PreferencePair

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

T = TypeVar("T")
BATCH = 1000  # pairs tokenised together, of at most so many characters unless one alone has more:
BATCH_CHARACTERS = 1_000_000
LEAST_CHARACTERS = 64  # that a token is taken to hold, since some fold white space or unknown letters


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
