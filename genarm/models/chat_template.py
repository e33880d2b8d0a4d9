"""How the chat template writes an assistant's turn: what stands before its text, and what ends it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from jinja2 import TemplateError

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True, slots=True)
class Turn:
    """What is around an assistant's text."""

    lead: str  # white space between the generation prompt and the text
    end: int | None  # the token that ends the turn


def assistant_turn(tokenizer: "PreTrainedTokenizerBase") -> Turn:
    """What the template writes before and after an assistant's text, found by rendering one.

    The end is the special token right after the text, which need not be the eos token: Gemma's is
    `<end_of_turn>`. Where the template writes none, or refuses such a conversation, it is eos.
    """
    question, answer = {"role": "user", "content": "question"}, {"role": "assistant", "content": "answer"}
    try:
        before = str(tokenizer.apply_chat_template([question], tokenize=False, add_generation_prompt=True))
        whole = str(tokenizer.apply_chat_template([question, answer], tokenize=False))
    except TemplateError:
        return Turn("", tokenizer.eos_token_id)
    head, _, tail = whole.rpartition("answer")
    # A lead that is more than white space, such as an empty thought, is the template's view of the past.
    lead = head.removeprefix(before) if head.startswith(before) else ""
    after = tokenizer.encode(tail.lstrip(), add_special_tokens=False)[:1]
    special = {i for i, token in tokenizer.added_tokens_decoder.items() if token.special}
    ends = special | set(tokenizer.all_special_ids)
    return Turn(lead if lead.isspace() else "", after[0] if set(after) & ends else tokenizer.eos_token_id)


def end_tokens(tokenizer: "PreTrainedTokenizerBase", model: "PreTrainedModel") -> list[int]:
    """Every token that ends a response: the template's, the generation config's, the model's, eos."""
    ends = {assistant_turn(tokenizer).end, tokenizer.eos_token_id}
    for said in (model.generation_config, model.config.get_text_config()):
        ids = getattr(said, "eos_token_id", None)
        ends.update(ids if isinstance(ids, (list, tuple)) else (ids,))
    return sorted(end for end in ends if end is not None)
