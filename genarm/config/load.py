"""Reading a parameter file; what is wrong with it is one ConfigError that names file, key and value."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from genarm.config.demanded import STAGES, missing_keys
from genarm.config.explain import explain
from genarm.config.old_form import in_new_form, is_old
from genarm.config.params import Params
from genarm.errors import ConfigError


def load_params(path: Path) -> Params:
    """Read and check a parameter file. Raises ConfigError naming file, key, value and the nearest key.

    A key that the `dvc.yaml` beside it names must be there, though it has a default: DVC demands it.
    """
    values = read_yaml(path)
    params = check_params(values, str(path))
    if missing := missing_keys(values, path.parent):
        lines = ", ".join(_default(params, key) for key in missing)
        raise ConfigError(
            f"{path}: missing {', '.join(map(repr, missing))}, which {STAGES} names: DVC knows no defaults",
            hint=f"add the default: {lines}",
        )
    return params


def check_params(values: object, where: str) -> Params:
    """Params from plain values; `where` names their origin in errors."""
    if not isinstance(values, Mapping):
        raise ConfigError(f"{where} holds no parameters", hint="it must be a mapping of sections")
    if is_old(values):
        raise ConfigError(
            f"{where} has an old form: each dimension is now one entry of `dimensions`, "
            "with its data, judge, weight and what it changes of `train`",
            hint=f"replace these sections, and delete `judge`:\n\n{in_new_form(values)}\n",
        )
    try:
        return Params.model_validate(values)
    except ValidationError as error:
        raise ConfigError(
            f"{where}: {explain(error, Params)}",
            hint="every key with its meaning: genarm params",
        ) from None


def read_yaml(path: Path) -> Any:
    """The values of a YAML file. Raises ConfigError naming the file and what is wrong with it."""
    try:
        return YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"no parameter file at {path}", hint="run genarm in the project's folder") from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ConfigError(
            f"{path} is not UTF-8: line {line} holds the byte {error.object[error.start]:#04x}",
            hint="save it as UTF-8 in the editor",
        ) from None
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}: " if mark else ""
        raise ConfigError(
            f"{path} is not valid YAML: {where}{error.problem or error.context}",
            hint="correct the line that the message names",
        ) from None
    except (YAMLError, ValueError, RecursionError) as error:  # no date, no number, no letter, no end
        told = " ".join(str(error).split())
        raise ConfigError(
            f"{path} is not valid YAML: {told}", hint="correct what the message names"
        ) from None


def _default(params: BaseModel, key: str) -> str:
    """The line of YAML that gives a key its default, and the section that it belongs in."""
    value: Any = params
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else getattr(value, part, None)
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json", exclude_unset=key.endswith("train"))
    section, _, name = key.rpartition(".")
    line = f"`{name}: {json.dumps(value, ensure_ascii=False)}`"
    return f"{line} below {section}" if section else line
