"""Errors about an `experiment.yaml`: one line that names file, key and the nearest that is known."""

from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from typing import Any

from pydantic import BaseModel, ValidationError

from genarm.config import nearest
from genarm.config.explain import explain
from genarm.errors import ConfigError

EXTRA = {"trl": "baselines", "moocore": "baselines"}  # package -> the extra that has it
HINT = "every key: docs/experiments.md; methods: genarm compare --methods"


def refused(where: str, what: str, hint: str = HINT) -> ConfigError:
    """The error for something that cannot work."""
    return ConfigError(f"{where}: {what}", hint=hint)


def known(where: str, what: str, name: str, names: Iterable[str]) -> None:
    """Raise ConfigError for a name that is none of these."""
    names = list(names)
    if name not in names:
        raise refused(where, f"{what} {name!r}{nearest(name, names)}; known: {', '.join(names) or 'none'}")


def valid(where: str, key: str, settings: type[BaseModel], given: Mapping[str, Any]) -> None:
    """Raise ConfigError for settings that a section does not take."""
    try:
        settings.model_validate(given)
    except ValidationError as error:
        raise refused(where, f"{key}: {explain(error, settings)}") from None


def installed(where: str, key: str, kind: str, needs: tuple[str, ...]) -> None:
    """Raise ConfigError for a package of an extra that is not there."""
    if lacking := next((package for package in needs if find_spec(package) is None), None):
        raise ConfigError(
            f"{where}: {key}: {kind} needs {lacking}, which is not installed",
            hint=f"pip install 'genarm[{EXTRA.get(lacking, 'baselines')}]'",
        )
