"""Which keys of `params.yaml` the stages of `dvc.yaml` name: DVC runs no stage whose key is left out."""

import itertools
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

STAGES, PARAMS = "dvc.yaml", "params.yaml"
_PLACE = re.compile(r"\$\{([^}]*)\}")


def missing_keys(values: Mapping[str, Any], folder: Path) -> list[str]:
    """The keys that the `dvc.yaml` of a folder names and `values` lacks, such as `respond.prompts`.

    Empty where there is no such file, or none that can be read: DVC says what is wrong with it.
    """
    try:
        stages = YAML(typ="safe").load((folder / STAGES).read_text(encoding="utf-8"))["stages"]
        wanted = {key: None for stage in stages.values() for key in _keys(stage, values)}
    except (OSError, YAMLError, ValueError, KeyError, TypeError, AttributeError):
        return []
    return [key for key in wanted if not _has(values, key)]


def stage_names(folder: Path) -> frozenset[str] | None:
    """Every stage of the `dvc.yaml` of a folder as DVC names it, such as `train@plain`.

    None where that file or the parameters cannot be read, or a stage is repeated for what is not known here.
    """
    try:
        stages = YAML(typ="safe").load((folder / STAGES).read_text(encoding="utf-8"))["stages"]
        values = YAML(typ="safe").load((folder / PARAMS).read_text(encoding="utf-8"))
        return frozenset(full for name, stage in stages.items() for full in _names(name, stage, values))
    except (OSError, YAMLError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _names(name: str, stage: Mapping[str, Any], values: Mapping[str, Any]) -> Iterator[str]:
    """The names of one stage, once for each entry of its `foreach` or its `matrix`."""
    if "foreach" in stage:
        resolved = _resolved(stage["foreach"], values)
        rows = [list(resolved) if isinstance(resolved, Mapping) else [*map(_in_name, enumerate(resolved))]]
    elif "matrix" in stage:
        rows = [_entries(entries, values) for entries in stage["matrix"].values()]
    else:
        yield name
        return
    for chosen in itertools.product(*rows):
        yield f"{name}@{'-'.join(map(str, chosen))}"


def _in_name(entry: tuple[int, Any]) -> Any:
    """An item of a list by itself, one that has parts of its own by its place."""
    place, item = entry
    return place if isinstance(item, Mapping | list) else item


def _keys(stage: Mapping[str, Any], values: Mapping[str, Any]) -> Iterator[str]:
    """The keys that one stage names, once for each entry of its `foreach` or its `matrix`."""
    each = stage.get("foreach")
    rows = {f"item.{name}": _entries(entries, values) for name, entries in stage.get("matrix", {}).items()}
    if each is not None:
        rows["key" if isinstance(_resolved(each, values), Mapping) else "item"] = _entries(each, values)
    for key in _named(stage.get("do", stage).get("params", ())):
        for chosen in itertools.product(*rows.values()):
            filled = key
            for name, entry in zip(rows, chosen, strict=True):
                filled = re.sub(rf"\$\{{\s*{re.escape(name)}\s*\}}", str(entry), filled)
            if "${" not in filled:  # filled from elsewhere, which DVC knows
                yield filled


def _named(params: Any) -> Iterator[str]:
    """The keys that a stage wants of the parameter file; another file is named as the key of a mapping."""
    for entry in params:
        if isinstance(entry, str):
            yield entry
        else:
            yield from entry.get(PARAMS) or ()


def _entries(entries: Any, values: Mapping[str, Any]) -> list[Any]:
    """What a stage is repeated for: the items of a list, the keys of a mapping."""
    resolved = _resolved(entries, values)
    return [] if isinstance(resolved, str) else list(resolved)


def _resolved(entries: Any, values: Mapping[str, Any]) -> Any:
    """The entries themselves, or those that a key of the parameters in `${...}` leads to."""
    place = _PLACE.fullmatch(entries) if isinstance(entries, str) else None
    return _at(values, place[1].strip()) if place else entries


def _has(values: Mapping[str, Any], key: str) -> bool:
    try:
        _at(values, key)
    except (KeyError, TypeError):
        return False
    return True


def _at(values: Any, key: str) -> Any:
    for part in key.split("."):
        values = values[part]
    return values
