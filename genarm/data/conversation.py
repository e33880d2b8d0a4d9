"""The turns of a conversation, from a list of messages, from a transcript, and from columns that come before.

Here it is decided what a well-formed conversation is; which column holds one is not known.
"""

import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Any, Literal

from genarm.data.columns import kind, listed, missing, refuse_unrendered
from genarm.data.refused import Refused
from genarm.types import Message

Turns = tuple[Message, ...]
Row = Mapping[str, Any]

_TURN = re.compile(r"\n\n(Human|Assistant):")
_LABEL = re.compile(r"^\s*(Human|Assistant):", re.MULTILINE)
_SPELLED = re.compile(r"""\s*\[\s*\{\s*["'](role|content|from|value)["']\s*:.*\}\s*\]\s*""", re.DOTALL)
_SPEAKER: dict[str, Literal["user", "assistant"]] = {"Human": "user", "Assistant": "assistant"}


def text(row: Row, key: str) -> str:
    """The text of a key. Raises Refused where there is none."""
    if key not in row:
        raise missing(row, key)
    return _text(row[key], f"'{key}' is not text")


def answer(row: Row, key: str) -> str:
    """The answer of a key: a text, or one message of the assistant. Raises Refused where it is neither."""
    if not isinstance(row.get(key), list):
        return text(row, key)
    turns = messages(row, key)
    if len(turns) != 1 or turns[0].role != "assistant":
        raise Refused(f"'{key}' is not one message of the assistant")
    return turns[0].content


def messages(row: Row, key: str) -> Turns:
    """The messages of a key. Raises Refused where a message lacks role or text, or holds more than a text."""
    if key not in row:
        raise missing(row, key)
    if isinstance(row[key], Refused):
        raise row[key]
    if not isinstance(row[key], list):
        raise Refused(f"'{key}' is neither text nor messages", f"but {kind(row[key])}")
    turns = []
    for item in row[key]:
        if not isinstance(item, Mapping):
            raise Refused(f"a message of '{key}' is no object with role and content", f"but {kind(item)}")
        refuse_unrendered(item)
        if "content" not in item:
            raise Refused(f"a message of '{key}' has no 'content'", listed(item))
        content = _text(item["content"], f"a message of '{key}' has no text")
        role = item.get("role")
        if role not in ("system", "user", "assistant"):
            # A role is shown where it looks like one; anything longer may be text in the wrong place.
            named = isinstance(role, str) and re.fullmatch(r"[A-Za-z_-]{1,20}", role)
            raise Refused(f"wrong role '{role}'" if named else "wrong role")
        turns.append(Message(role, content))
    return tuple(turns)


def refuse_spelled(row: Row) -> None:
    """Refuse a row whose prompt, or each of whose responses, is a list of messages that was written as text.

    A CSV file leaves such texts behind. A response alone may be one in earnest.
    """
    for keys in (("prompt",), ("chosen", "rejected"), ("response_0", "response_1")):
        if all(isinstance(row.get(key), str) and _SPELLED.fullmatch(row[key]) for key in keys):
            raise Refused(f"'{keys[0]}' is a list of messages spelled as text", "write it as a JSON array")


def transcript(text: str) -> Turns:
    """The turns of a text in which "Human:" and "Assistant:" begin a turn. Raises Refused where none does."""
    before, *parts = _TURN.split("\n\n" + text.lstrip())
    if not parts:
        raise Refused("no 'Human:' and 'Assistant:' turns")
    if before.strip():
        raise Refused("text before the first turn")
    speakers, contents = parts[::2], parts[1::2]
    return tuple(Message(_SPEAKER[s], c) for s, c in zip(speakers, contents, strict=True))


def answered(start: str, answer: str) -> Turns:
    """The turns of a transcript and its answer; "Assistant:" may end the one, begin the other, or lack."""
    if is_whole_transcript(answer):
        raise Refused("a whole transcript beside a prompt")
    if start.rstrip().endswith("Assistant:"):
        return transcript(start + answer)
    turns = transcript(start)
    if any(_LABEL.search(turn.content) for turn in turns):
        raise Refused("a speaker's label inside a turn")
    return (*turns, Message("assistant", answer.lstrip().removeprefix("Assistant:")))


def is_transcript(value: object) -> bool:
    """Whether a text begins as a transcript does."""
    return isinstance(value, str) and value.lstrip().startswith("Human:")


def is_whole_transcript(value: object) -> bool:
    """Whether a text is a transcript with an answer in it."""
    return isinstance(value, str) and is_transcript(value) and "\n\nAssistant:" in value


def is_asked(value: object) -> bool:
    """Whether messages hold a turn of the user, and so more than an answer."""
    return isinstance(value, list) and any(isinstance(m, Mapping) and m.get("role") == "user" for m in value)


def earlier(row: Row) -> tuple[Turns, Turns]:
    """The columns `system` and `history`, as turns; history is [[user, assistant], ...].

    Raises Refused where they are anything else, or where history stands beside a whole conversation.
    """
    system, history = row.get("system"), row.get("history") or []
    said = _text(system, "'system' is not text").strip() if system is not None else ""
    shape = Refused("'history' is not [[user, assistant], ...]")
    if not isinstance(history, list):
        raise shape
    if history and row.get("prompt") is None:
        raise Refused("'history' beside a whole conversation")
    turns: list[Message] = []
    for pair in history:
        if not isinstance(pair, list | tuple) or len(pair) != 2 or not all(isinstance(t, str) for t in pair):
            raise shape
        turns += (Message("user", pair[0]), Message("assistant", pair[1]))
    return ((Message("system", said),) if said else ()), tuple(turns)


def after(system: Turns, history: Turns, turns: Turns) -> Turns:
    """System message, history, conversation. Raises Refused where the conversation has one of its own."""
    own = turns[:1] if turns and turns[0].role == "system" else ()
    if system and own and own[0].content.strip() != system[0].content:
        raise Refused("two system messages")
    return (own or system) + history + turns[len(own) :]


def checked(turns: Turns) -> Turns:
    """[system] user assistant ... user assistant, stripped, none of them empty. Raises Refused otherwise."""
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


def _text(value: object, otherwise: str) -> str:
    if isinstance(value, Refused):  # a cell of Parquet that could not be read
        raise value
    if not isinstance(value, str):
        raise Refused(otherwise, f"but {kind(value)}")
    return value
