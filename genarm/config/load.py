"""Reading a parameter file; what is wrong with it is one ConfigError that names file, key and value."""

from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from genarm.config.explain import explain
from genarm.config.params import Params
from genarm.errors import ConfigError


def load_params(path: Path) -> Params:
    """Read and check a parameter file. Raises ConfigError naming file, key, value and the nearest key."""
    try:
        values = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"no parameter file at {path}", hint="run genarm in the project's folder") from None
    except YAMLError as error:
        raise ConfigError(
            f"{path} is not valid YAML: {error}", hint="correct the line that the message names"
        ) from None
    return check_params(values, str(path))


def check_params(values: object, where: str) -> Params:
    """Params from plain values; `where` names their origin in errors."""
    if not isinstance(values, Mapping):
        raise ConfigError(f"{where} holds no parameters", hint="it must be a mapping of sections")
    try:
        return Params.model_validate(values)
    except ValidationError as error:
        raise ConfigError(
            f"{where}: {explain(error, Params)}",
            hint="genarm/config/params.py and train.py list every key",
        ) from None
