"""A preference pair as token ids: the one rule that the lengths of `genarm pairs` and training share.

A response is tokenised as the continuation of its prompt that the model would write: tokenised alone, it
would start with a space that stands in no conversation wherever the tokenizer is of SentencePiece's kind.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from genarm.errors import DataError
from genarm.models.chat_template import Turn, assistant_turn, text_ids
from genarm.models.control_tokens import control_tokens
from genarm.types import PreferencePair

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_ANCHOR = "\n"  # text that no tokenizer merges with a word after it


class PairIds(NamedTuple):
    """Token ids of one pair. A response includes the white space before it and the token that ends it."""

    prompt: list[int]
    chosen: list[int]
    rejected: list[int]


def pair_ids(
    tokenizer: "PreTrainedTokenizerBase", prompt_texts: Sequence[str], pairs: Sequence[PreferencePair]
) -> list[PairIds]:
    """Token ids of many pairs at once; `prompt_texts` are their prompts as `prompt_text` renders them.

    Raises DataError where the tokenizer has no token that ends a turn, or a response spells a control token
    that it could not read as text.
    """
    turn = assistant_turn(tokenizer)
    if turn.end is None:
        raise DataError(
            "the tokenizer has no end-of-turn token, so no response would ever end",
            hint="set eos_token in the model's tokenizer_config.json",
        )
    prompts = text_ids(tokenizer, prompt_texts)
    chosen = _continuations(tokenizer, turn, prompt_texts, prompts, [pair.chosen for pair in pairs])
    rejected = _continuations(tokenizer, turn, prompt_texts, prompts, [pair.rejected for pair in pairs])
    return [PairIds(*ids) for ids in zip(prompts, chosen, rejected, strict=True)]


def _continuations(
    tokenizer: "PreTrainedTokenizerBase",
    turn: Turn,
    prompt_texts: Sequence[str],
    prompts: Sequence[list[int]],
    responses: Sequence[str],
) -> list[list[int]]:
    """The ids of each response after its prompt, with the end of the turn.

    Decoding extends the prompt's ids and never changes them. Where prompt and response would share a token
    when tokenised as one text, the response is tokenised after a line break instead. A control token that a
    response spells is text, so its end is the only one that it holds.
    """
    controls = control_tokens(tokenizer)
    responses = [controls.mark(response) for response in responses]
    texts = [prompt + turn.lead + response for prompt, response in zip(prompt_texts, responses, strict=True)]
    continuations = []
    for ids, prompt, response in zip(text_ids(tokenizer, texts), prompts, responses, strict=True):
        if ids[: len(prompt)] != prompt:
            anchor, ids = text_ids(tokenizer, [_ANCHOR, _ANCHOR + response])
            prompt = anchor if ids[: len(anchor)] == anchor else []
            ids = ids if prompt else text_ids(tokenizer, [response])[0]
        continuations.append([*ids[len(prompt) :], turn.end or 0])
    return continuations
