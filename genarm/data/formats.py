"""A parser for each row format, from a row to a preference pair. No file is read and nothing is repaired.

A row that breaks a rule raises Refused. Its reason is one of a few stable sentences, and neither reason nor
detail quotes the row: what people write into preference data does not belong in logs.
"""

from collections.abc import Mapping
from typing import Literal

from genarm.data.columns import Row, check_columns, foreign, kind, listed, missing, unknown
from genarm.data.conversation import (
    Turns,
    after,
    answer,
    answered,
    checked,
    earlier,
    is_asked,
    is_transcript,
    is_whole_transcript,
    messages,
    refuse_spelled,
    text,
    transcript,
)
from genarm.data.refused import Refused
from genarm.errors import ConfigError
from genarm.types import Message, PreferencePair, Prompt

RowFormat = Literal["trl", "hh", "pku", "ultrafeedback"]
Label = Literal["better_response_id", "safer_response_id"]


def parse(
    row: object, format: RowFormat | Literal["auto"] = "auto", preferred: Label | None = None
) -> PreferencePair:
    """The pair that a row holds; every text is stripped, since the chat template sets its own white space.

    The columns `system` and `history` come before the prompt in every format.

    Raises Refused where the row is malformed, ConfigError where the source does not say which label to take.
    """
    if isinstance(row, Refused):
        raise row
    if not isinstance(row, Mapping):
        raise Refused("not a JSON object", f"but {kind(row)}")
    name = detect(row) if format == "auto" else format
    check_columns(row)
    refuse_spelled(row)
    if name == "pku":
        sides = _pku(row, preferred)
    else:
        sides = {"hh": _hh, "trl": _trl, "ultrafeedback": _ultrafeedback}[name](row)
    system, history = earlier(row)
    chosen, rejected = (after(system, history, side) for side in sides)
    return _pair(chosen, rejected)


def detect(row: Row) -> RowFormat:
    """The format that a row's keys and their types indicate. Raises Refused where they fit none."""
    if "response_0" in row and "response_1" in row:
        return "pku"
    if "chosen" not in row or "rejected" not in row:
        raise foreign(row)
    prompt, sides = row.get("prompt"), (row["chosen"], row["rejected"])
    if prompt is None and unknown(row) and not any(_holds_a_question(side) for side in sides):
        raise foreign(row)  # the prompt is in a column of another name
    if is_transcript(prompt) and not any(is_asked(side) for side in sides):
        return "hh"
    if all(isinstance(side, str) for side in sides):
        whole = prompt is None or all(is_whole_transcript(side) for side in sides)
        return "hh" if whole else "trl"
    if isinstance(prompt, str) and all(isinstance(side, list) for side in sides):
        return "ultrafeedback" if any(is_asked(side) for side in sides) else "trl"
    return "trl"


def _holds_a_question(side: object) -> bool:
    return is_asked(side) or is_transcript(side)


def _trl(row: Row) -> tuple[Turns, Turns]:
    """`prompt`, `chosen`, `rejected`: text or messages; without `prompt` both sides hold the conversation."""
    prompt: Turns = ()
    if isinstance(row.get("prompt"), str):
        prompt = (Message("user", row["prompt"]),)
    elif row.get("prompt") is not None:
        prompt = messages(row, "prompt")

    def side(key: str) -> Turns:
        if isinstance(row.get(key), str):
            if not prompt:
                raise missing(row, "prompt")
            return (*prompt, Message("assistant", row[key]))
        turns = messages(row, key)
        return turns if turns[: len(prompt)] == prompt else prompt + turns

    return side("chosen"), side("rejected")


def _hh(row: Row) -> tuple[Turns, Turns]:
    """`chosen` and `rejected` as whole transcripts, or `prompt` as one and the two answers."""
    if row.get("prompt") is None:
        sides = text(row, "chosen"), text(row, "rejected")
        if not any(is_transcript(side) for side in sides):
            why = f"{listed(row)}; without a prompt both sides are whole conversations"
            raise Refused("no 'Human:' and 'Assistant:' turns", why)
        return transcript(sides[0]), transcript(sides[1])
    start = text(row, "prompt")
    return answered(start, answer(row, "chosen")), answered(start, answer(row, "rejected"))


def _pku(row: Row, preferred: Label | None) -> tuple[Turns, Turns]:
    """`prompt`, `response_0`, `response_1`, and the label that names the preferred one, 0 or 1.

    A column of whole numbers in which one is missing comes out of pandas as 0.0 and 1.0.
    """
    if preferred is None:
        raise ConfigError(
            "PKU rows carry two labels, and the source does not say which names the chosen response",
            hint="set dimensions.<dimension>.data.preferred to better_response_id or safer_response_id",
        )
    if preferred not in row:
        raise missing(row, preferred)
    label = row[preferred]
    if label is None or label != label:
        raise Refused(f"label {preferred} is null")
    if isinstance(label, bool) or not isinstance(label, int | float):
        raise Refused(f"label {preferred} is not the number 0 or 1", f"but {kind(label)}")
    if label not in (0, 1):
        raise Refused(f"label {preferred} is neither 0 nor 1")
    prompt, label = Message("user", text(row, "prompt")), int(label)
    responses = [Message("assistant", text(row, f"response_{i}")) for i in (0, 1)]
    return (prompt, responses[label]), (prompt, responses[1 - label])


def _ultrafeedback(row: Row) -> tuple[Turns, Turns]:
    """`prompt` as text; `chosen` and `rejected` as messages that begin with it."""
    prompt = text(row, "prompt").strip()
    chosen, rejected = messages(row, "chosen"), messages(row, "rejected")
    for side in (chosen, rejected):
        asked = next((m.content.strip() for m in side if m.role == "user"), None)
        if asked != prompt:
            raise Refused("first message is not the prompt")
    return chosen, rejected


def _pair(chosen: Turns, rejected: Turns) -> PreferencePair:
    """Two whole conversations as a pair: both well formed, alike up to the last turn, and different there."""
    chosen, rejected = checked(chosen), checked(rejected)
    if chosen[:-1] != rejected[:-1]:
        raise Refused("prompts of the two sides differ")
    if chosen == rejected:
        raise Refused("chosen equals rejected")
    return PreferencePair(Prompt(chosen[:-1]), chosen[-1].content, rejected[-1].content)
