"""What `predict` of a stored model takes, read as rows: a conversation each, and how it is to be answered.

A prompt is a text or a conversation, which is a list of messages with `role` and `content`. Accepted are one
prompt, a list of them, and rows with a column `prompt` (or `messages`) beside the settings: a DataFrame, a
list of dicts, one dict. What a row leaves out, `params` says, then `SETTINGS`.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from genarm.errors import RequestError
from genarm.types import Guidance, Message, Role

log = logging.getLogger(__name__)

# Name -> what it is without being given. No weight means the ARM's own, and so does no guidance.
SETTINGS: dict[str, Any] = {
    "weight": None,
    "weights": None,
    "temperature": 1.0,
    "top_p": 1.0,
    "max_new_tokens": 128,
    "seed": 0,
    "guidance": None,
    "other_guidance": False,
}
PROMPTS = ("prompt", "messages")
FORMS = (
    'give texts, conversations ([{"role": "user", "content": "hello"}]), or rows with a prompt '
    '({"prompt": "hello", "seed": 1})'
)
MESSAGE = 'a message is {"role": "user", "content": "hello"}; the last one is the user\'s'


@dataclass(frozen=True, slots=True)
class Row:
    """One prompt with its settings; `weights` by dimension, None where the ARM's own weight is meant."""

    messages: tuple[Message, ...]
    weights: Mapping[str, float] | None
    temperature: float
    top_p: float
    max_new_tokens: int
    seed: int
    guidance: Guidance | None = None  # None where what each weight was tuned for is meant
    other_guidance: bool = False  # whether to guide by it an ARM whose weight was tuned for the other one


def read_rows(data: Any, params: Mapping[str, Any] | None, dimension: str) -> list[Row]:
    """The rows of `data`, in order; a `weight` is that of `dimension`.

    A missing value (None, NaN) counts as absent. Raises RequestError naming the row, counted from 0, and what
    is wrong with it.
    """
    common = _given(params or {}, SETTINGS)
    if unknown := [name for name in common if name not in SETTINGS]:
        raise RequestError(
            f"params names {unknown[0]!r}, which is no setting", hint=f"settings: {', '.join(SETTINGS)}"
        )
    rows, unused = [], dict[str, None]()
    for number, item in enumerate(_items(data)):
        try:
            given = _given(_as_mapping(item), (*SETTINGS, *PROMPTS))
            unused |= dict.fromkeys(name for name in given if name not in SETTINGS and name not in PROMPTS)
            rows.append(_row(given, common, dimension))
        except RequestError as error:
            raise RequestError(f"row {number}: {error.message}", hint=error.hint) from None
    if unused:
        log.warning("not used: %s; a row has %s", ", ".join(unused), ", ".join([*PROMPTS, *SETTINGS]))
    return rows


def _items(data: Any) -> list[Any]:
    """What stands for a row each."""
    import numpy as np
    import pandas as pd

    if isinstance(data, Mapping):
        prompt = next((data[name] for name in PROMPTS if name in data), None)
        if prompt is None or isinstance(prompt, str) or _is_conversation(prompt):
            return [data]
        data = pd.DataFrame({str(name): list(column) for name, column in data.items()})
    if isinstance(data, pd.DataFrame):
        # A list that MLflow has made a table of has one column without a name.
        return list(data[0]) if list(data.columns) == [0] else list(data.to_dict("records"))
    if isinstance(data, str) or _is_conversation(data):
        return [data]
    if isinstance(data, pd.Series | np.ndarray):
        data = data.tolist()
    if isinstance(data, Sequence) and not isinstance(data, bytes):
        return list(data)
    raise RequestError(f"predict was given {_shown(data)}", hint=FORMS)


def _as_mapping(item: Any) -> Mapping[str, Any]:
    """An item as a row with a prompt."""
    if isinstance(item, str) or _is_conversation(item):
        return {"prompt": item}
    if isinstance(item, Mapping) and any(name in item for name in PROMPTS):
        return {str(name): value for name, value in item.items()}
    raise RequestError(f"there is no prompt in {_shown(item)}", hint=FORMS)


def _is_conversation(value: Any) -> bool:
    """Whether this is meant as a list of messages, right or wrong."""
    if isinstance(value, str | bytes | Mapping) or not hasattr(value, "__len__") or len(value) == 0:
        return False
    if not hasattr(value, "__getitem__") or hasattr(value, "columns"):
        return False
    return all(isinstance(turn, Mapping) and ("role" in turn or "content" in turn) for turn in list(value))


def _given(values: Mapping[str, Any], names: Any) -> dict[str, Any]:
    """The values that are not missing; those of other names as they are."""
    import pandas as pd

    return {
        str(name): value
        for name, value in values.items()
        if name not in names or not (pd.api.types.is_scalar(value) and pd.isna(value))
    }


def _row(given: Mapping[str, Any], common: Mapping[str, Any], dimension: str) -> Row:
    for place in (given, common):
        if "weight" in place and "weights" in place:
            raise RequestError(
                f"it has both weight and weights: {place['weight']!r} and {place['weights']!r}",
                hint=f"give weights alone; weight is short for that of {dimension}",
            )
    # A row that says one of the two overrides what params say of either.
    of_weight = given if "weight" in given or "weights" in given else common
    settings = SETTINGS | dict(common) | dict(given)
    weights = None
    if "weights" in of_weight:
        weights = _weights(of_weight["weights"])
    elif "weight" in of_weight:
        weights = {dimension: _number(of_weight["weight"], "weight", float)}
    return Row(
        _messages(given),
        weights,
        temperature=_number(settings["temperature"], "temperature", float),
        top_p=_number(settings["top_p"], "top_p", float),
        max_new_tokens=_number(settings["max_new_tokens"], "max_new_tokens", int),
        seed=_number(settings["seed"], "seed", int),
        guidance=_one_of(settings["guidance"], "guidance", (None, *get_args(Guidance))),
        other_guidance=_one_of(settings["other_guidance"], "other_guidance", (False, True)),
    )


def _messages(given: Mapping[str, Any]) -> tuple[Message, ...]:
    prompts = [given[name] for name in PROMPTS if name in given]
    if len(prompts) != 1:
        raise RequestError(
            "it has both prompt and messages" if prompts else "its prompt is missing", hint=FORMS
        )
    if isinstance(prompts[0], str):
        return (Message("user", prompts[0]),)
    if not _is_conversation(prompts[0]):
        raise RequestError(f"its prompt is {_shown(prompts[0])}", hint=FORMS)
    messages = []
    for number, turn in enumerate(prompts[0]):
        role, content = turn.get("role"), turn.get("content")
        if role not in get_args(Role) or not isinstance(content, str):
            raise RequestError(
                f"message {number} has role {_shown(role)} and content {_shown(content)}",
                hint=f"{MESSAGE}; roles are {', '.join(get_args(Role))}, content is text",
            )
        messages.append(Message(role, content))
    if messages[-1].role != "user":
        raise RequestError(f"the last message is of role {messages[-1].role!r}", hint=MESSAGE)
    return tuple(messages)


def _weights(value: Any) -> dict[str, float]:
    """Weights by dimension, from a mapping or its JSON, as params of MLflow are plain values."""
    example = 'by dimension, as JSON or a dict: {"positive": 0.3, "plain": 0.12}'
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError as error:
            raise RequestError(f"weights is {value!r:.80}, which is no JSON: {error}", hint=example) from None
    if not isinstance(value, Mapping):
        raise RequestError(f"weights is {_shown(value)}", hint=example)
    return {str(name): _number(weight, f"weight of {name}", float) for name, weight in value.items()}


def _one_of(value: Any, name: str, known: Sequence[Any]) -> Any:
    """A value that must be one of few."""
    for one in known:
        if value == one:
            return one
    words = " or ".join(repr(one) for one in known if one is not None)
    raise RequestError(f"{name} is {_shown(value)}", hint=f"it is {words}")


def _number(value: Any, name: str, kind: type) -> Any:
    """A number, whole where it must be: a column with gaps makes 32 to 32.0, and text may hold one."""
    try:
        number = float(value)
        if kind is float or number != int(number):
            return number  # a whole number that is none is refused by the request
        return int(value)
    except (TypeError, ValueError, OverflowError):
        raise RequestError(f"{name} is {_shown(value)}, which is no number", hint="give a number") from None


def _shown(value: Any) -> str:
    if value is None or isinstance(value, str | int | float | Mapping):
        text = repr(value)
        return text if len(text) <= 80 else f"{text[:77]}..."
    return f"a {type(value).__name__}"
