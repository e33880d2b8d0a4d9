"""The keys of a row beyond its texts: which are read, which refuse the row, which are left unread and told.

Values are not shown, and a key only where it looks like a name: in damaged data it may be somebody's text.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from genarm.data.refused import Refused

Row = Mapping[str, Any]

KNOWN = (
    "prompt + chosen + rejected, whole conversations in chosen + rejected, prompt + response_0 + response_1"
)
LABELS: tuple[Literal["better_response_id", "safer_response_id"], ...] = (
    "better_response_id",
    "safer_response_id",
)
_SCORES = tuple(
    names
    for kind in ("score", "rating", "reward")
    for names in (
        (f"{kind}_chosen", f"{kind}_rejected"),
        (f"chosen_{kind}", f"rejected_{kind}"),
        (f"chosen-{kind}", f"rejected-{kind}"),
    )
)
# A chat template could write these into the prompt, but training and answering render messages alone.
NOT_RENDERED = (
    "tools", "tool_calls", "tool_call_id", "functions", "function_call", "documents", "chat_template_kwargs",
    "image", "images", "video", "videos", "audio", "audios",
)  # fmt: skip
READ = frozenset(
    {"prompt", "chosen", "rejected", "response_0", "response_1", "system", "history", *LABELS, *NOT_RENDERED}
    | {name for names in _SCORES for name in names}
)
_METADATA = re.compile(
    r"(.*[_-])?(id|ids|idx|index|uid|uuid|hash|md5|sha1|sha256|url|source|origin|dataset|subset|split|language|"
    r"lang|license|model|models|name|date|time|timestamp|created_at|updated_at|version|category)"
    r"|__index_level_\d+__|is_response_[01]_safe|response_[01]_(severity_level|harm_category)"
)
_NAME = re.compile(r"[\w.:/ -]{1,40}")
_EMPTY = (None, "", "[]", "{}", "null")  # TRL writes `tools` as JSON text as well


def check_columns(row: Row) -> None:
    """Refuse a row whose pair depends on what is never rendered, or whose scores contradict its sides."""
    refuse_unrendered(row)
    for names in _SCORES:
        chosen, rejected = (_number(row.get(name)) for name in names)
        if chosen is None or rejected is None:
            continue
        if chosen == rejected:
            raise Refused("scores of the two sides tie")
        if chosen < rejected:
            raise Refused("scores prefer the rejected response", f"{names[0]} is below {names[1]}")


def refuse_unrendered(keys: Row) -> None:
    """Refuse a row, or one of its messages, that says more than the text of its messages."""
    for name in NOT_RENDERED:
        if not _is_empty(keys.get(name)):
            raise Refused(f"'{name}' is not rendered", "only the text of messages is rendered")


def unread(row: Row) -> set[str]:
    """The keys of a row that say something and are neither read nor known to be metadata, named for people.

    A key of a message is named with its column, such as `chosen[].thinking`, and a score if it is no number.
    """
    found = {shown(name) for name in unknown(row)}
    found |= {name for names in _SCORES for name in names if _is_no_score(row.get(name))}
    for column in ("prompt", "chosen", "rejected"):
        turns = row.get(column)
        for turn in turns if isinstance(turns, list) else ():
            if isinstance(turn, Mapping):
                found |= {f"{column}[].{shown(k)}" for k in unknown(turn) if k not in ("role", "content")}
    return found


def unknown(row: Row) -> list[str]:
    """The keys of a row, or of a message, that hold something and are known to no format."""
    return [k for k, v in row.items() if k not in READ and not _METADATA.fullmatch(k) and not _is_empty(v)]


def is_metadata(name: str) -> bool:
    """Whether a column is known to say something about the row, and nothing of the pair."""
    return bool(_METADATA.fullmatch(name))


def foreign(row: Row) -> Refused:
    """That a row's keys fit no format: what it has, and what the formats want."""
    return Refused("keys of no known format", f"{listed(row)}; known are: {KNOWN}")


def missing(row: Row, key: str) -> Refused:
    """That a row lacks a key which its format needs."""
    return Refused(f"no key '{key}'", listed(row))


def listed(names: Iterable[str]) -> str:
    """The first dozen keys, for a message."""
    names = [shown(name) for name in names]
    more = f" and {len(names) - 12} more" if len(names) > 12 else ""
    return f"has {', '.join(names[:12]) or 'no keys'}{more}"


def kind(value: object) -> str:
    """What a value is in JSON's words, for a message that must not quote it."""
    if isinstance(value, bool):
        return "true or false"
    for types, name in (
        (str, "text"),
        (int | float, "a number"),
        (Mapping, "an object"),
        (list, "a list"),
        (bytes, "bytes"),
    ):
        if isinstance(value, types):
            return name
    return "nothing" if value is None else f"a {type(value).__name__}"


def shown(name: str) -> str:
    """A key if it looks like a name, else how long it is."""
    return name if _NAME.fullmatch(name) else f"(a key of {len(name)} characters)"


def _is_empty(value: object) -> bool:
    if isinstance(value, str):
        return value.strip() in _EMPTY
    if isinstance(value, Mapping):
        return all(v is None for v in value.values())  # a structure that a table fills in where there is none
    return value is None or value == []


def _is_no_score(value: object) -> bool:
    return not _is_empty(value) and (isinstance(value, bool) or not isinstance(value, int | float))


def _number(value: object) -> float | None:
    """A score that can be compared; anything else is no score."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        return None
    return value
