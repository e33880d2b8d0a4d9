"""Prompt and response as the token ids that a reward model reads, as its chat template renders them.

The score is read at the last token of that text, as in training: the end of the assistant's turn or, in a
template such as Qwen's, the line break that it writes after it. A template that writes no end gets the
end-of-text token, and one that does gets no second.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from genarm.errors import JudgeError
from genarm.models.answered import answered_text, shared_length, text_after_answer
from genarm.models.chat_template import text_ids
from genarm.types import Prompt

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True, slots=True)
class Read:
    """One text as a reward model reads it; `is_cut` where the beginning of the prompt is gone."""

    ids: list[int]
    is_cut: bool


class ConversationReader:
    """Token ids of prompts with responses; `around` are those that go before and after, such as [CLS]."""

    def __init__(
        self, tokenizer: "PreTrainedTokenizerBase", around: tuple[Sequence[int], Sequence[int]] = ((), ())
    ) -> None:
        self._tokenizer, self._around = tokenizer, around

    def read(self, prompts: Sequence[Prompt], responses: Sequence[str], limit: int) -> list[Read]:
        """The ids of each prompt with its response, at most `limit` each.

        Raises JudgeError where a response alone is too long, ModelError where the template leaves it out or
        refuses the conversation.
        """
        asked = zip(prompts, responses, strict=True)
        rendered = [answered_text(self._tokenizer, prompt.messages, text) for prompt, text in asked]
        heads = text_ids(self._tokenizer, [head for head, _ in rendered])
        whole = text_ids(self._tokenizer, [text for _, text in rendered])
        rows = zip(prompts, heads, whole, strict=True)
        return [self._within(prompt, shared_length(head, ids), ids, limit) for prompt, head, ids in rows]

    def _within(self, prompt: Prompt, head: int, ids: list[int], limit: int) -> Read:
        """The ids with what goes around them; where they are too many, the first ones of the prompt go."""
        before, after = self._around
        ids = [*ids, *self._end]
        excess = len(before) + len(ids) + len(after) - limit
        if excess <= 0:
            return Read([*before, *ids, *after], is_cut=False)
        first = (
            1 if ids[0] == self._tokenizer.bos_token_id and head else 0
        )  # models expect it to begin a text
        if excess > head - first:
            raise JudgeError(
                f"the response to prompt {prompt.id} has {len(ids) - head} tokens for the reward model, "
                f"which reads at most {limit}",
                hint="raise reward_model.max_tokens as far as the model's context goes, or lower "
                "respond.sampling.max_new_tokens",
            )
        return Read([*before, *ids[:first], *ids[first + excess :], *after], is_cut=True)

    @cached_property
    def closing(self) -> list[int]:
        """The ids that follow a response: what the template writes after it, or the end-of-text token."""
        return [*text_ids(self._tokenizer, [text_after_answer(self._tokenizer)])[0], *self._end]

    @cached_property
    def _end(self) -> list[int]:
        """The end-of-text token where the template writes no special token after a response."""
        if self._around[1]:
            return []  # such as the [SEP] of an encoder
        tail = text_after_answer(self._tokenizer)
        special = {i for i, token in self._tokenizer.added_tokens_decoder.items() if token.special}
        special |= set(self._tokenizer.all_special_ids)
        end = self._tokenizer.eos_token_id
        return [] if end is None or special & set(text_ids(self._tokenizer, [tail])[0]) else [end]
