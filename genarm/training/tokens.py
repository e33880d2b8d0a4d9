"""A preference pair as token ids, by the rule of `genarm.models.pair_tokens`, and its length in a row."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from genarm.models.chat_template import prompt_text
from genarm.models.pair_tokens import pair_ids
from genarm.types import PreferencePair

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Truncate = Literal["prompt_start"]


@dataclass(frozen=True, slots=True)
class TokenPair:
    """A pair as token ids; both responses end with the token that ends a turn."""

    prompt_id: str
    prompt: list[int]
    chosen: list[int]
    rejected: list[int]

    @property
    def row_tokens(self) -> int:
        """Tokens of its shared row: the last token of a response is predicted but never read."""
        return len(self.prompt) + len(self.chosen) + len(self.rejected) - 2


def encode(pairs: Sequence[PreferencePair], tokenizer: "PreTrainedTokenizerBase") -> list[TokenPair]:
    """Token ids of each pair, rendered as decoding renders them.

    Raises DataError where the tokenizer has no token that ends a turn.
    """
    texts = [prompt_text(tokenizer, pair.prompt.messages) for pair in pairs]
    rows = zip(pairs, pair_ids(tokenizer, texts, pairs), strict=True)
    return [TokenPair(pair.prompt.id, *ids) for pair, ids in rows]
