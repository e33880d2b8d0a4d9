"""Every key of `params.yaml` with its type, default and meaning, read from the sections themselves."""

import json
import types
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from genarm.config.explain import is_section
from genarm.config.params import DimensionConfig, Params
from genarm.config.train import TrainConfig

NAME = "<name>"  # stands for the name of a dimension
WORDS = {str: "text", int: "integer", float: "number", bool: "true or false", type(None): "null", Any: "any"}


@dataclass(frozen=True, slots=True)
class Key:
    """One key: its path, such as `respond.sampling.top_p`, what it takes, its default, its meaning."""

    path: str
    takes: str
    default: str  # empty where the key must be given, or where it holds keys of its own
    meaning: str

    @property
    def is_value(self) -> bool:
        """Whether it has a value of its own, and not only keys."""
        return not self.takes.startswith(("keys", "text, or keys", "one entry"))


def keys() -> list[Key]:
    """All keys in the order of the file; those that a dimension may change of `train` are listed once."""
    return list(_keys(Params, ""))


def markdown() -> str:
    """The keys as the page `docs/reference/parameters.md`."""
    lines = [
        "# Parameters",
        "",
        "Every key of `params.yaml`. A key without a default must be given; keys that `dvc.yaml` names must",
        "stand in the file even so. `genarm params` prints the same, in a project with the values in use.",
        "",
        "<!-- made by: genarm params --markdown > docs/reference/parameters.md -->",
    ]
    section = ""
    for key in keys():
        if (name := key.path.partition(".")[0]) != section:
            section = name
            lines += ["", f"## {section}", "", "| key | takes | default | meaning |", "|---|---|---|---|"]
        default = f"`{key.default}`" if key.default else ""
        cells = [f"`{key.path}`", key.takes, default, key.meaning]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def value_of(params: Params, key: Key) -> str:
    """The value of a key as YAML; of a key that every dimension has, a line for each dimension."""
    _, name, below = key.path.partition(f"{NAME}.")
    if not name:
        value = _at(params, key.path)
        return key.default if value is None else _shown(value)
    of_each = {d: _at(config, below) for d, config in params.dimensions.items()}
    return "\n".join(f"{d}: {_shown(value)}" for d, value in of_each.items())


def _keys(model: type[BaseModel], path: str) -> Iterator[Key]:
    for name, field in model.model_fields.items():
        yield from _key(field, f"{path}{field.alias or name}")


def _key(field: FieldInfo, path: str) -> Iterator[Key]:
    if path == "dimensions":
        meaning = "one preference; its name has small letters, digits and -"
        yield Key(f"dimensions.{NAME}", "one entry for each", "", meaning)
        yield from _keys(DimensionConfig, f"dimensions.{NAME}.")
        return
    if path == f"dimensions.{NAME}.train":
        yield Key(path, "keys of `train`", "{}", field.description or "")
        return
    section = TrainConfig if path == "train" else _section(field.annotation)
    optional = type(None) in get_args(field.annotation)
    meaning = field.description or _summary(section)
    if section is None:
        default = "" if field.is_required() else _shown(field.get_default(call_default_factory=True))
        yield Key(path, _takes(field.annotation), default, meaning)
        return
    plain = path.endswith((".data", ".judge", ".held_out"))
    short = "text, or keys" if plain else "keys, or null" if optional else "keys"
    yield Key(path, short, "null" if optional else "", meaning)
    yield from _keys(section, f"{path}.")


def _summary(section: type[BaseModel] | None) -> str:
    return ((section and section.__doc__) or "").partition("\n")[0].rstrip(".")


def _section(annotation: Any) -> type[BaseModel] | None:
    return next((part for part in (annotation, *get_args(annotation)) if is_section(part)), None)


def _takes(annotation: Any) -> str:
    """A type in words: `integer, or all`."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _takes(parts[0])
    if origin is Literal:
        return ", ".join(str(part) for part in parts)
    if origin in (Union, types.UnionType):
        return ", or ".join(_takes(part) for part in parts)
    if origin is tuple:
        return f"list of {_takes(parts[0])}"
    if origin is dict:
        return f"mapping of {_takes(parts[0])} to {_takes(parts[1])}"
    return WORDS[annotation]


def _at(values: Any, path: str) -> Any:
    for part in path.split("."):
        values = getattr(values, part, getattr(values, f"{part}_", None))  # `from` is a word of Python
    return values


def _shown(value: Any) -> str:
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json", exclude_unset=True)
    if isinstance(value, float):
        return f"{value:g}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
