"""How long pairs are, in tokens of the base model: counted many at a time, and summed up."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from genarm.data.refused import Refused
from genarm.errors import DataError, ModelError
from genarm.models.chat_template import LeftOut, prompt_text
from genarm.models.control_tokens import control_tokens
from genarm.models.pair_tokens import pair_ids
from genarm.types import PreferencePair

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


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


def token_lengths(
    pairs: Sequence[PreferencePair], tokenizer: "PreTrainedTokenizerBase"
) -> list[Lengths | Refused]:
    """The lengths of many pairs at once, by the rule that training tokenises them with.

    A pair whose prompt the chat template refuses gives Refused, and so does one that spells a control token
    which cannot be read as text. Raises DataError where the tokenizer has no token that ends a turn.
    """
    texts = [_prompt_text(pair, tokenizer) for pair in pairs]
    rendered = [(text, pair) for text, pair in zip(texts, pairs, strict=True) if isinstance(text, str)]
    ids = iter(pair_ids(tokenizer, [text for text, _ in rendered], [pair for _, pair in rendered]))
    return [Lengths(*(len(side) for side in next(ids))) if isinstance(text, str) else text for text in texts]


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


def _prompt_text(pair: PreferencePair, tokenizer: "PreTrainedTokenizerBase") -> str | Refused:
    try:
        for response in (pair.chosen, pair.rejected):
            control_tokens(tokenizer).mark(response)
        return prompt_text(tokenizer, pair.prompt.messages)
    except LeftOut as error:
        return Refused("the chat template leaves out a message", error.message)
    except ModelError:  # a template refuses what its model does not know, such as a system message
        return Refused("the chat template refuses the prompt")
    except DataError as error:
        return Refused("spells a control token", error.message)
