"""A parser for each row format, from a row to a preference pair. No file is read and nothing is repaired.

A row that breaks a rule raises Refused. Its reason is one of a few stable sentences, and neither reason nor
detail quotes the row: what people write into preference data does not belong in logs.
"""

import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Any, Literal

from genarm.errors import ConfigError
from genarm.types import Message, PreferencePair, Prompt

RowFormat = Literal["trl", "hh", "pku", "ultrafeedback"]
Label = Literal["better_response_id", "safer_response_id"]
Turns = tuple[Message, ...]
Row = Mapping[str, Any]

_TURN = re.compile(r"\n\n(Human|Assistant):")
_SPEAKER: dict[str, Literal["user", "assistant"]] = {"Human": "user", "Assistant": "assistant"}


class Refused(Exception):
    """A row that is not a preference pair, and why."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail


def parse(
    row: object, format: RowFormat | Literal["auto"] = "auto", preferred: Label | None = None
) -> PreferencePair:
    """The pair that a row holds; every text is stripped, since the chat template sets its own white space.

    Raises Refused where the row is malformed, ConfigError where the source does not say which label to take.
    """
    if not isinstance(row, Mapping):
        raise Refused("not a JSON object")
    name = detect(row) if format == "auto" else format
    if name == "pku":
        return _pair(*_pku(row, preferred))
    return _pair(*{"hh": _hh, "trl": _trl, "ultrafeedback": _ultrafeedback}[name](row))


def detect(row: Row) -> RowFormat:
    """The format that a row's keys and their types indicate. Raises Refused where they fit none."""
    if "response_0" in row and "response_1" in row:
        return "pku"
    if "chosen" not in row or "rejected" not in row:
        raise Refused("keys of no known format")
    prompt, sides = row.get("prompt"), (row["chosen"], row["rejected"])
    if all(isinstance(side, str) for side in sides):
        return "hh" if prompt is None or _is_transcript(prompt) else "trl"
    if isinstance(prompt, str) and all(isinstance(side, list) for side in sides):
        return "ultrafeedback"
    return "trl"


def _trl(row: Row) -> tuple[Turns, Turns]:
    """`prompt`, `chosen`, `rejected`: text or messages; without `prompt` both sides hold the conversation."""
    prompt: Turns = ()
    if isinstance(row.get("prompt"), str):
        prompt = (Message("user", row["prompt"]),)
    elif row.get("prompt") is not None:
        prompt = _messages(row, "prompt")

    def side(key: str) -> Turns:
        if isinstance(row.get(key), str):
            if not prompt:
                raise Refused("no key 'prompt'")
            return (*prompt, Message("assistant", row[key]))
        turns = _messages(row, key)
        return turns if turns[: len(prompt)] == prompt else prompt + turns

    return side("chosen"), side("rejected")


def _hh(row: Row) -> tuple[Turns, Turns]:
    """`chosen` and `rejected` as whole transcripts, or `prompt` up to "Assistant:" and the two answers."""
    start = _text(row, "prompt") if row.get("prompt") is not None else ""
    return _transcript(start + _text(row, "chosen")), _transcript(start + _text(row, "rejected"))


def _pku(row: Row, preferred: Label | None) -> tuple[Turns, Turns]:
    """`prompt`, `response_0`, `response_1`, and the label that names the preferred one, 0 or 1."""
    if preferred is None:
        raise ConfigError(
            "PKU rows carry two labels, and the source does not say which names the chosen response",
            hint="set pairs.sources.<dimension>.preferred to better_response_id or safer_response_id",
        )
    if preferred not in row:
        raise Refused(f"no key '{preferred}'")
    label = row[preferred]
    if label is None:
        raise Refused(f"label {preferred} is null")
    if isinstance(label, bool) or not isinstance(label, int) or label not in (0, 1):
        raise Refused(f"label {preferred} is neither 0 nor 1")
    prompt = Message("user", _text(row, "prompt"))
    responses = [Message("assistant", _text(row, f"response_{i}")) for i in (0, 1)]
    return (prompt, responses[label]), (prompt, responses[1 - label])


def _ultrafeedback(row: Row) -> tuple[Turns, Turns]:
    """`prompt` as text; `chosen` and `rejected` as messages that begin with it; scores, if given, differ."""
    prompt = _text(row, "prompt").strip()
    chosen, rejected = _messages(row, "chosen"), _messages(row, "rejected")
    for side in (chosen, rejected):
        asked = next((m.content.strip() for m in side if m.role == "user"), None)
        if asked != prompt:
            raise Refused("first message is not the prompt")
    scores = row.get("score_chosen"), row.get("score_rejected")
    if scores[0] is not None and scores[0] == scores[1]:
        raise Refused("scores of the two sides tie")
    return chosen, rejected


def _pair(chosen: Turns, rejected: Turns) -> PreferencePair:
    """Two whole conversations as a pair: both well formed, alike up to the last turn, and different there."""
    chosen, rejected = _checked(chosen), _checked(rejected)
    if chosen[:-1] != rejected[:-1]:
        raise Refused("prompts of the two sides differ")
    if chosen == rejected:
        raise Refused("chosen equals rejected")
    return PreferencePair(Prompt(chosen[:-1]), chosen[-1].content, rejected[-1].content)


def _checked(turns: Turns) -> Turns:
    """[system] user assistant ... user assistant, none of them empty."""
    turns = tuple(Message(m.role, m.content.strip()) for m in turns)
    if not turns:
        raise Refused("no turns")
    spoken = turns[1:] if turns[0].role == "system" else turns
    if any(m.role == "system" for m in spoken):
        raise Refused("a system message after the first turn")
    if any(a.role == b.role for a, b in pairwise(spoken)):
        raise Refused("two turns of one speaker in a row")
    if not spoken or spoken[-1].role != "assistant":
        raise Refused("last turn is not the assistant's")
    if spoken[0].role != "user":
        raise Refused("first turn is not the user's")
    if not spoken[-1].content:
        raise Refused("empty response")
    if not all(m.content for m in turns):
        raise Refused("empty turn")
    try:
        "".join(m.content for m in turns).encode()
    except UnicodeEncodeError:  # half of a surrogate pair: JSON can spell it, no file can hold it
        raise Refused("text is not valid Unicode") from None
    return turns


def _messages(row: Row, key: str) -> Turns:
    if key not in row:
        raise Refused(f"no key '{key}'")
    if not isinstance(row[key], list):
        raise Refused(f"'{key}' is neither text nor messages")
    turns = []
    for item in row[key]:
        if not isinstance(item, Mapping) or not isinstance(item.get("content"), str):
            raise Refused(f"a message of '{key}' has no text")
        role = item.get("role")
        if role not in ("system", "user", "assistant"):
            # A role is shown where it looks like one; anything longer may be text in the wrong place.
            named = isinstance(role, str) and re.fullmatch(r"[A-Za-z_-]{1,20}", role)
            raise Refused(f"wrong role '{role}'" if named else "wrong role")
        turns.append(Message(role, item["content"]))
    return tuple(turns)


def _transcript(text: str) -> Turns:
    before, *parts = _TURN.split("\n\n" + text.lstrip())
    if not parts:
        raise Refused("no 'Human:' and 'Assistant:' turns")
    if before.strip():
        raise Refused("text before the first turn")
    speakers, contents = parts[::2], parts[1::2]
    return tuple(Message(_SPEAKER[s], c) for s, c in zip(speakers, contents, strict=True))


def _is_transcript(prompt: object) -> bool:
    return (
        isinstance(prompt, str)
        and prompt.lstrip().startswith("Human:")
        and prompt.rstrip().endswith("Assistant:")
    )


def _text(row: Row, key: str) -> str:
    if key not in row:
        raise Refused(f"no key '{key}'")
    if not isinstance(row[key], str):
        raise Refused(f"'{key}' is not text")
    return str(row[key])
