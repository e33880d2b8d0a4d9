"""A conversation with its answer as one text, for models that read both and do not go on, such as judges."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from genarm.errors import ModelError
from genarm.models.chat_template import prompt_text, template_words
from genarm.models.control_tokens import control_tokens
from genarm.types import Message

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

PLAIN = "x"  # a text to see by what a tokenizer puts around it


def answered_text(
    tokenizer: "PreTrainedTokenizerBase", messages: Sequence[Message], response: str
) -> tuple[str, str]:
    """The text up to the response, or a little less, and all of it; for `text_ids`.

    Control tokens that a message or the response spells are marked as text. Raises ModelError where the
    template refuses the conversation or leaves out the response.
    """
    controls = control_tokens(tokenizer)
    opened, answer = prompt_text(tokenizer, messages), controls.mark(response)
    turns = [{"role": m.role, "content": controls.mark(m.content)} for m in messages]
    text = _apply(tokenizer, [*turns, {"role": "assistant", "content": answer}])
    if answer.strip() not in text:
        raise ModelError(
            "the chat template leaves out the response",
            hint="set base.chat_template to one that writes the turns of the assistant",
        )
    return text[: shared_length(opened, text)], text


def text_after_answer(tokenizer: "PreTrainedTokenizerBase") -> str:
    """What the template writes after an assistant's text. Raises ModelError as `answered_text` does."""
    turns = [{"role": "user", "content": "question"}, {"role": "assistant", "content": "answer"}]
    return _apply(tokenizer, turns).rpartition("answer")[2]


def special_tokens_around(tokenizer: "PreTrainedTokenizerBase") -> tuple[list[int], list[int]]:
    """The ids that a tokenizer puts before and after a text, such as [CLS] and [SEP]."""
    plain = tokenizer(PLAIN, add_special_tokens=False)["input_ids"]
    whole = tokenizer(PLAIN)["input_ids"]
    start = next((i for i in range(len(whole)) if whole[i : i + len(plain)] == plain), 0)
    return whole[:start], whole[start + len(plain) :]


def shared_length(first: Sequence[object], second: Sequence[object]) -> int:
    """How many characters or ids both begin with."""
    pairs = enumerate(zip(first, second, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(first), len(second)))


def _apply(tokenizer: "PreTrainedTokenizerBase", turns: list[dict[str, str]]) -> str:
    try:
        return str(tokenizer.apply_chat_template(turns, tokenize=False))
    except Exception as error:  # a template may do anything to its values
        raise ModelError(
            f"the chat template refuses a conversation{template_words(tokenizer, error)}",
            hint="set base.chat_template to one that takes it",
        ) from error
