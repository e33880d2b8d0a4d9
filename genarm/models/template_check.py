"""Whether a chat template does its work, found out when a tokenizer is loaded: two questions and an answer.

The prompt of a question contains it and ends where the assistant's turn begins, as a finished turn would.
"""

from typing import TYPE_CHECKING

from genarm.errors import ModelError
from genarm.models.chat_template import template_words

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

QUESTIONS = ("Why zqx7 of 1931?", "Whose vbk4 in 2057?")
ANSWER = "Because wfj8."


def check_template(tokenizer: "PreTrainedTokenizerBase", where: str) -> None:
    """Raise ModelError where the chat template of a tokenizer does not do its work.

    `where` is what holds the template: a key of params.yaml or a file.
    """
    first, second, again = (_rendered(tokenizer, where, question) for question in (*QUESTIONS, QUESTIONS[0]))
    if first == second:
        raise ModelError(
            f"{where} is no chat template: it renders {_short(first)} for every prompt",
            hint="it has to write the content of each of `messages`",
        )
    if first != again:
        raise ModelError(
            f"{where} renders one question as {_short(first)} and then as {_short(again)}",
            hint="what it writes may depend on `messages` alone",
        )
    if QUESTIONS[0] not in first or QUESTIONS[1] not in second:
        raise ModelError(
            f"{where} leaves out the text of a message: {QUESTIONS[0]!r} is rendered as {_short(first)}",
            hint="it has to write `message['content']`, which is text",
        )
    _check_turn(tokenizer, where, first)


def _check_turn(tokenizer: "PreTrainedTokenizerBase", where: str, prompt: str) -> None:
    """Compare the end of a prompt with what a finished turn of the assistant begins with."""
    question, answer = ({"role": "user", "content": QUESTIONS[0]}, {"role": "assistant", "content": ANSWER})
    try:
        closed = str(tokenizer.apply_chat_template([question], tokenize=False, add_generation_prompt=False))
        whole = str(tokenizer.apply_chat_template([question, answer], tokenize=False))
    except Exception:  # some templates know no finished turn; then there is nothing to compare
        return
    if not (prompt.startswith(closed) and whole.startswith(closed) and ANSWER in whole):
        return  # a template that writes the past in another way
    opened, turn = prompt[len(closed) :], whole[len(closed) :]
    head = turn.partition(ANSWER)[0].rstrip()
    # Either may go on: a prompt with a thought that is not kept, a past turn with an empty one.
    if turn.startswith(opened.rstrip()) if opened else not head:
        return
    if not opened or not opened.startswith(head):
        raise ModelError(
            f"{where} does not open the assistant's turn: a prompt ends with {_short(prompt[-24:])}, "
            f"a finished turn begins with {_short(turn)}",
            hint="it has to write what comes before an answer where `add_generation_prompt` is set",
        )


def _rendered(tokenizer: "PreTrainedTokenizerBase", where: str, question: str) -> str:
    message = {"role": "user", "content": question}
    try:
        return str(tokenizer.apply_chat_template([message], tokenize=False, add_generation_prompt=True))
    except Exception as error:  # a template may do anything to its values
        raise ModelError(f"{where}{template_words(tokenizer, error)}", hint="correct the template") from error


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:57]}...")
