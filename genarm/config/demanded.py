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
    """The keys that the `dvc.yaml` of a folder names and `values` lacks, such as `train.default`.

    Empty where there is no such file, or none that can be read: DVC says what is wrong with it.
    """
    try:
        stages = YAML(typ="safe").load((folder / STAGES).read_text(encoding="utf-8"))["stages"]
        wanted = {key: None for stage in stages.values() for key in _keys(stage, values)}
    except (OSError, YAMLError, ValueError, KeyError, TypeError, AttributeError):
        return []
    return [key for key in wanted if not _has(values, key)]


def _keys(stage: Mapping[str, Any], values: Mapping[str, Any]) -> Iterator[str]:
    """The keys that one stage names, once for each entry of its matrix."""
    matrix = {name: _entries(entries, values) for name, entries in stage.get("matrix", {}).items()}
    for key in _named(stage.get("params", ())):
        for chosen in itertools.product(*matrix.values()):
            filled = key
            for name, entry in zip(matrix, chosen, strict=True):
                filled = re.sub(rf"\$\{{\s*item\.{re.escape(name)}\s*\}}", str(entry), filled)
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
    """A row of a matrix: a list, or a key of the parameters in `${...}`."""
    if isinstance(entries, str):
        place = _PLACE.fullmatch(entries)
        return list(_at(values, place[1].strip())) if place else []
    return list(entries)


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
