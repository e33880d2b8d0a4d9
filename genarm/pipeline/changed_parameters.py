"""Which parameters of a stage changed since it ran, and from what to what: `train.beta 0.02 -> 0.05`."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

PARAMS = "params.yaml"
CHECKS = "judge-checks.json"
SHOWN = 3  # further changes are counted
NOT_SET = "not set"


def changes(root: Path, file: str, recorded: Mapping[str, Any], keys: Mapping[str, object]) -> list[str]:
    """The changes of one parameter file of a stage, a few by name and value, the rest counted.

    `recorded` is what `dvc.lock` has of that file, by key; `keys` are those that DVC finds changed, with how.
    A key whose values cannot be told, such as one that was never recorded, is named with how it changed.
    """
    try:
        now = YAML(typ="safe").load((root / file).read_text(encoding="utf-8"))
    except (OSError, YAMLError, UnicodeDecodeError):
        now = None
    words: list[str] = []
    for key, how in keys.items():
        if file == CHECKS:
            words.append(f"judge-check of {key} {how}")
            continue
        if key in recorded and file != PARAMS:
            # A snapshot of versions by dimension: mlflow/incumbents.json or mlflow/starts.json.
            was, is_now = _version(recorded[key]), _version(_at(now, key))
            words.append(f"{Path(file).stem.removesuffix('s')} of {key} {was} -> {is_now}")
            continue
        comparable = key in recorded and now is not None
        found = [*_differences(key, recorded[key], _at(now, key))] if comparable else []
        words += found or [f"{key} {how}"]
    return words if len(words) <= SHOWN else [*words[:SHOWN], f"{len(words) - SHOWN} more"]


def _at(content: Any, key: str) -> Any:
    for part in key.split("."):
        content = content.get(part, NOT_SET) if isinstance(content, Mapping) else NOT_SET
    return content


def _differences(name: str, before: Any, now: Any) -> Iterator[str]:
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        for key in dict.fromkeys([*before, *now]):
            yield from _differences(f"{name}.{key}", before.get(key, NOT_SET), now.get(key, NOT_SET))
    elif before != now:
        yield f"{name} {_short(before)} -> {_short(now)}"


def _version(noted: Any) -> str:
    if isinstance(noted, list):  # mlflow/looks.json
        return f"after {noted[-1]} prompts" if noted else "none"
    return f"version {noted['version']}" if isinstance(noted, Mapping) and "version" in noted else "none"


def _short(value: Any) -> str:
    if isinstance(value, Mapping | list):
        text = json.dumps(value, ensure_ascii=False, default=str).replace(
            '"', ""
        )  # nearly as params.yaml has it
    else:
        text = "null" if value is None else str(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
