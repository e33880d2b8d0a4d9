"""Prompts without responses, from a JSON Lines file: `{"prompt": "a text"}` or `{"prompt": [messages]}`."""

from collections.abc import Mapping
from pathlib import Path

from genarm.data.columns import kind
from genarm.data.conversation import checked, messages
from genarm.data.refused import Refused
from genarm.data.rows import read_file
from genarm.errors import DataError
from genarm.types import Message, Prompt


def read_prompts(path: Path, name: str) -> list[Prompt]:
    """The prompts of a file, which is called `name`, in their order.

    Raises DataError where there is no such file, and naming the first row that is no prompt: an evaluation on
    part of a file would be another than the one that was asked for.
    """
    if not path.is_file():
        raise DataError(f"there is no file {name}", hint="a JSON Lines file of the project, or below data/")
    if path.suffix != ".jsonl":
        raise DataError(f"{name} is no .jsonl file", hint='write one {"prompt": ...} a line')
    prompts = []
    for row in read_file(path, name):
        try:
            prompts.append(parse_prompt(row.value))
        except Refused as why:
            detail = f": {why.detail}" if why.detail else ""
            raise DataError(
                f"{name}, row {row.number}: {why.reason}{detail}",
                hint='a row is {"prompt": "a text"} or {"prompt": [{"role": "user", "content": "a text"}]}',
            ) from None
    if not prompts:
        raise DataError(f"{name} holds no prompt", hint='write one {"prompt": ...} a line')
    return prompts


def parse_prompt(row: object) -> Prompt:
    """The prompt of a row; texts are stripped, as those of pairs. Raises Refused where it is none."""
    if isinstance(row, Refused):
        raise row
    if not isinstance(row, Mapping):
        raise Refused("not a JSON object", f"but {kind(row)}")
    if isinstance(row.get("prompt"), str):
        turns: tuple[Message, ...] = (Message("user", row["prompt"]),)
    else:
        turns = messages(row, "prompt")
    # A prompt is a conversation that waits for its answer.
    return Prompt(checked((*turns, Message("assistant", "an answer")))[:-1])
