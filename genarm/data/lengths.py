"""How long pairs are, in tokens of the base model: counted many at a time, and summed up."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jinja2 import TemplateError

from genarm.data.formats import Refused
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
    """The lengths of many pairs at once; the prompt as `genarm.models.render` gives it."""
    prompts = [_prompt_text(pair, tokenizer) for pair in pairs]

    def count(texts: Iterable[str]) -> list[int]:
        ids = tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"]
        return [len(row) for row in ids]

    columns = zip(
        prompts,
        count(text or "" for text in prompts),
        count(pair.chosen for pair in pairs),
        count(pair.rejected for pair in pairs),
        strict=True,
    )
    return [
        Refused("the chat template refuses the prompt") if text is None else Lengths(p, c + 1, r + 1)
        for text, p, c, r in columns
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
    turns = [{"role": m.role, "content": m.content} for m in pair.prompt.messages]
    try:
        return str(tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True))
    except TemplateError:  # a template refuses what its model does not know, such as a system message
        return None
