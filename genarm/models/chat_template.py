"""The chat template: how messages are rendered, and how an assistant's turn begins and ends.

Every prompt of the system, in training and in decoding, is rendered here.
"""

import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jinja2 import TemplateError, TemplateSyntaxError

from genarm.errors import DataError, ModelError
from genarm.models.control_tokens import control_tokens, is_marked
from genarm.models.template_date import added_lines
from genarm.types import Message

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


class LeftOut(ModelError):
    """A chat template that renders a conversation without one of its messages."""


def prompt_text(tokenizer: "PreTrainedTokenizerBase", messages: Sequence[Message]) -> str:
    """A conversation as text, up to where the assistant's answer starts.

    A control token that a message spells is marked in it as text, for `text_ids`. Raises ModelError where the
    template refuses the conversation, as some refuse a system message, LeftOut where it goes on without a
    part of it, and DataError where it would alter such a spelling.
    """
    turns = [{"role": m.role, "content": m.content} for m in messages]
    plain = _render(tokenizer, turns)
    controls = control_tokens(tokenizer)
    contents = [controls.mark(m.content) for m in messages]
    marked = [turn | {"content": content} for turn, content in zip(turns, contents, strict=True)]
    if marked == turns:
        _check_written(messages, plain)
        return plain
    text = _render(tokenizer, marked)
    if controls.unmark(text) != plain:
        number = next(i for i, content in enumerate(contents) if is_marked(content))
        raise DataError(
            f"message {number + 1} spells the control token {controls.first_marked(contents[number])}, "
            "which the chat template does not leave as it stands",
            hint="leave that token out of the message",
        )
    _check_written(messages, plain)
    return text


def _check_written(messages: Sequence[Message], text: str) -> None:
    """Raise LeftOut where a message is not in the rendered text; white space may differ."""
    for number, message in enumerate(messages, start=1):
        content = message.content.strip()
        if message.role == "assistant":  # templates leave out the thoughts of past turns, and may
            content = content.rpartition("</think>")[2].strip()
        if content not in text and "".join(content.split()) not in "".join(text.split()):
            raise LeftOut(
                f"the chat template leaves out message {number} of {len(messages)} ({message.role}), "
                "or a part of it",
                hint="leave such messages out of the conversation, or set base.chat_template",
            )


def _render(tokenizer: "PreTrainedTokenizerBase", turns: list[dict[str, str]]) -> str:
    try:
        return str(tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True))
    except Exception as error:  # a template may do anything to its values
        roles = ", ".join(turn["role"] for turn in turns)
        raise ModelError(
            f"the chat template refuses a conversation of {roles}{template_words(tokenizer, error)}",
            hint="leave out what its model does not know, or set base.chat_template",
        ) from error


def template_words(tokenizer: "PreTrainedTokenizerBase", error: Exception) -> str:
    """What went wrong in a tokenizer's template, after its line: `, line 3: unexpected '}'`."""
    if isinstance(error, TemplateSyntaxError):
        line: int | None = error.lineno
    else:  # Jinja puts the template into the traceback
        frames = traceback.extract_tb(error.__traceback__)
        line = next((f.lineno for f in reversed(frames) if f.filename in ("<template>", "<unknown>")), None)
    words = " ".join(str(getattr(error, "message", None) or error).split())
    if not isinstance(error, TemplateError):
        words = f"{type(error).__name__}: {words}"
    return f", line {line - added_lines(tokenizer.chat_template)}: {words}" if line else f": {words}"


def text_ids(tokenizer: "PreTrainedTokenizerBase", texts: Sequence[str]) -> list[list[int]]:
    """Token ids of texts as they stand: special tokens in them are read as such, and none are added.

    What `ControlTokens.mark` has marked is read as text.
    """
    if not texts:
        return []
    marked = [i for i, text in enumerate(texts) if is_marked(text)]
    plain = list(texts)
    for i in marked:
        plain[i] = ""
    ids: list[list[int]] = tokenizer(plain, add_special_tokens=False, verbose=False)["input_ids"]
    if marked:
        encoded = control_tokens(tokenizer).encode([texts[i] for i in marked])
        for i, of_text in zip(marked, encoded, strict=True):
            ids[i] = of_text
    return ids


def completion_ids(tokenizer: "PreTrainedTokenizerBase", text: str) -> list[int]:
    """Token ids of a text to be continued, no conversation: as the tokenizer reads it, with what it adds."""
    ids: list[int] = tokenizer(text, verbose=False)["input_ids"]
    return ids


def render(tokenizer: "PreTrainedTokenizerBase", messages: Sequence[Message]) -> list[int]:
    """Token ids of a conversation, up to where the assistant's answer starts."""
    return text_ids(tokenizer, [prompt_text(tokenizer, messages)])[0]


@dataclass(frozen=True, slots=True)
class Turn:
    """What surrounds an assistant's text."""

    lead: str  # white space between the generation prompt and the text
    end: int | None  # the token that ends the turn


def assistant_turn(tokenizer: "PreTrainedTokenizerBase") -> Turn:
    """What the template writes before and after an assistant's text, read off a rendered example.

    The end is the special token right after the text, which need not be the eos token: Gemma's is
    `<end_of_turn>`. Where the template writes none, or refuses such a conversation, it is eos.
    """
    question, answer = {"role": "user", "content": "question"}, {"role": "assistant", "content": "answer"}
    try:
        before = str(tokenizer.apply_chat_template([question], tokenize=False, add_generation_prompt=True))
        whole = str(tokenizer.apply_chat_template([question, answer], tokenize=False))
    except Exception:  # a template may do anything to its values
        return Turn("", tokenizer.eos_token_id)
    if "answer" not in whole:  # it writes no past turn of the assistant
        return Turn("", tokenizer.eos_token_id)
    head, _, tail = whole.rpartition("answer")
    # Templates may add more than white space to past turns only, such as an empty thought: that is no lead.
    lead = head.removeprefix(before) if head.startswith(before) else ""
    after = tokenizer.encode(tail.lstrip(), add_special_tokens=False)[:1]
    special = {i for i, token in tokenizer.added_tokens_decoder.items() if token.special}
    ends = special | set(tokenizer.all_special_ids)
    return Turn(lead if lead.isspace() else "", after[0] if set(after) & ends else tokenizer.eos_token_id)


def end_tokens(tokenizer: "PreTrainedTokenizerBase", model: "PreTrainedModel") -> list[int]:
    """Every token that ends a response: the template's, the generation config's, the model's, eos.

    Raises ModelError where a configuration gives what is no id.
    """
    ends = {assistant_turn(tokenizer).end, tokenizer.eos_token_id}
    for config in (model.generation_config, model.config.get_text_config()):
        ids = getattr(config, "eos_token_id", None)
        ends.update(ids if isinstance(ids, (list, tuple)) else (ids,))
    if wrong := [end for end in ends if not isinstance(end, int | None)]:
        raise ModelError(
            f"{model.name_or_path or type(model).__name__}: eos_token_id {wrong[0]!r} is no token id",
            hint="correct it in generation_config.json or config.json",
        )
    return sorted(end for end in ends if end is not None)
