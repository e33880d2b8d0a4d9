"""What is wrong with parameters, in words: the key, its value and, for a misspelt key, the nearest one."""

import difflib
import re
from collections.abc import Iterable
from inspect import get_annotations
from typing import TypeGuard, get_args

from pydantic import BaseModel, ValidationError

_TYPE = re.compile(r"constrained-\w+|literal\[.*\]|dict\[.*\]")  # which pydantic names beside the key


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """Every error of a validation against `model`, by its path: `unknown key 'train.bta' ...`."""
    lines = []
    for item in error.errors():
        key = ".".join(str(part) for part in item["loc"] if not _TYPE.fullmatch(str(part)))
        if item["type"] == "extra_forbidden":
            *section, name = item["loc"]
            lines.append(f"unknown key {key!r}{nearest(str(name), _keys_at(model, section))}")
        elif item["type"] == "missing":
            lines.append(f"missing key {key!r}")
        elif item["type"] == "value_error":
            message = item["msg"].removeprefix("Value error, ")
            lines.append(f"{key}: {message}" if key else message)
        elif item["type"] == "model_type":
            lines.append(f"{key} = {item['input']!r}: must be a mapping of keys")
        else:
            lines.append(f"{key} = {item['input']!r}: {item['msg'].lower()}")
    return "; ".join(lines)


def nearest(name: str, known: Iterable[str]) -> str:
    """A question for an error message, with the closest known name; empty where none is close."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _keys_at(model: type[BaseModel], loc: Iterable[int | str]) -> list[str]:
    """The known keys of the section that `loc` leads to; a part of `loc` may be a dimension or an index."""
    for part in loc:
        if field := model.model_fields.get(str(part)):
            annotation = field.annotation
        else:  # a section by dimension, if there is one
            annotation = get_annotations(model).get("__pydantic_extra__")
        sections = [a for a in (annotation, *get_args(annotation)) if is_section(a)]
        model = sections[0] if sections else model
    return [field.alias or name for name, field in model.model_fields.items()]


def is_section(annotation: object) -> TypeGuard[type[BaseModel]]:
    """Whether a field of this type holds keys of its own."""
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)
