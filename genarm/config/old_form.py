"""Parameters in the old form, in which five sections named each dimension: told with the new one."""

import io
from collections.abc import Mapping
from typing import Any

from ruamel.yaml import YAML


def is_old(values: Mapping[str, Any]) -> bool:
    """Whether a section has the place or the form that it had before each dimension was one entry."""

    def inner(section: str) -> Any:
        return values.get(section) if isinstance(values.get(section), Mapping) else {}

    return (
        isinstance(values.get("dimensions"), list)
        or "judge" in values
        or "sources" in inner("pairs")
        or "weights" in inner("respond")
        or "default" in inner("train")
    )


def in_new_form(values: Mapping[str, Any]) -> str:
    """The sections that change, as YAML to copy into the file; `...` where the old ones do not say it."""
    sections = {name: _mapping(values.get(name)) for name in ("pairs", "train", "respond", "judge")}
    sources, weights = (
        _mapping(sections["pairs"].get("sources")),
        _mapping(sections["respond"].get("weights")),
    )
    old = values.get("dimensions")
    names = [str(name) for name in (old if isinstance(old, list | Mapping) else sources)]
    dimensions = {
        name: _mapping(old).get(name)
        or {
            "data": _plain(sources.get(name, "..."), "files"),
            "judge": _plain(sections["judge"].get(name, "..."), "scorer"),
            "weight": weights.get(name, "..."),
            "train": sections["train"].get(name, {}),
        }
        for name in names
    }
    train = sections["train"]
    if "default" in train:
        train = _mapping(train["default"])
    new = {
        "dimensions": dimensions,
        "pairs": {key: value for key, value in sections["pairs"].items() if key != "sources"},
        "train": {key: value for key, value in train.items() if key not in names},
        "respond": {key: value for key, value in sections["respond"].items() if key != "weights"},
    }
    yaml, text = YAML(), io.StringIO()
    yaml.default_flow_style = None  # what holds no mapping of its own stands on one line
    yaml.width = 100
    yaml.dump({key: section for key, section in new.items() if section}, text)
    return text.getvalue().rstrip()


def _mapping(value: Any) -> dict[Any, Any]:
    return dict(value) if isinstance(value, Mapping) else {}


def _plain(value: Any, key: str) -> Any:
    """The short form of an entry that says nothing but one thing."""
    return value[key] if isinstance(value, Mapping) and list(value) == [key] else value
