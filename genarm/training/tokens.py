"""A preference pair as token ids: where a response begins, how it goes on from its prompt, where it ends.

A response is read as the continuation that the model would write: by itself a SentencePiece tokenizer would
put a space before it that stands in no conversation.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from genarm.errors import DataError
from genarm.models.chat_template import Turn, assistant_turn
from genarm.types import PreferencePair

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Truncate = Literal["prompt_start"]
_ANCHOR = "\n"  # text that no tokenizer merges with a word after it


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
    turn = assistant_turn(tokenizer)
    if turn.end is None:
        raise DataError(
            "the tokenizer has no end-of-turn token, so no response would ever end",
            hint="set eos_token in the model's tokenizer_config.json",
        )
    texts = [_prompt_text(pair, tokenizer) for pair in pairs]
    prompts = _ids(tokenizer, texts)
    sides = [
        _continue(tokenizer, turn, texts, prompts, [getattr(pair, side) for pair in pairs])
        for side in ("chosen", "rejected")
    ]
    rows = zip(pairs, prompts, *sides, strict=True)
    return [TokenPair(pair.prompt.id, prompt, chosen, rejected) for pair, prompt, chosen, rejected in rows]


def _continue(
    tokenizer: "PreTrainedTokenizerBase",
    turn: Turn,
    texts: list[str],
    prompts: list[list[int]],
    responses: list[str],
) -> list[list[int]]:
    """The ids of each response after its prompt, with the end of the turn.

    Decoding extends the prompt's ids and never goes back on them. Where prompt and response would share a
    token when read as one text, the response is read after a line break instead.
    """
    whole = _ids(tokenizer, [t + turn.lead + r for t, r in zip(texts, responses, strict=True)])
    found = []
    for ids, prompt, response in zip(whole, prompts, responses, strict=True):
        if ids[: len(prompt)] != prompt:
            anchor, ids = _ids(tokenizer, [_ANCHOR, _ANCHOR + response])
            prompt = anchor if ids[: len(anchor)] == anchor else []
            ids = ids if prompt else _ids(tokenizer, [response])[0]
        found.append([*ids[len(prompt) :], turn.end or 0])
    return found


def _prompt_text(pair: PreferencePair, tokenizer: "PreTrainedTokenizerBase") -> str:
    turns = [{"role": m.role, "content": m.content} for m in pair.prompt.messages]
    return str(tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True))


def _ids(tokenizer: "PreTrainedTokenizerBase", texts: list[str]) -> list[list[int]]:
    found: list[list[int]] = tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]
    return found
