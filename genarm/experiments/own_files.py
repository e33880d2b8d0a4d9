"""Whether all files that an experiment names lie in its project, where git and DVC have them."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from genarm.errors import ConfigError

if TYPE_CHECKING:
    from genarm.experiments.load import Experiment


def check_own_files(experiment: "Experiment") -> None:
    """Raise ConfigError for a file or folder elsewhere: on another machine its path would lead nowhere."""
    place = experiment.place
    for key, path in _named(experiment):
        if not place.holds(path):
            raise ConfigError(
                f"{place.relative(place.file)}: {key}: {path} lies outside of the project",
                hint="put it into the project, or a link to it, and name it from the project's root",
            )


def _named(experiment: "Experiment") -> Iterator[tuple[str, str]]:
    config = experiment.config
    if config.prompts.file:
        yield "prompts.file", config.prompts.file
    for dimension in config.data:
        data = experiment.data(dimension)
        yield f"data.{dimension}.folder", data.folder
        yield f"data.{dimension}.files", f"{data.folder}/{data.files}"
    for model in config.models:
        if not experiment.is_made(model):
            yield f"models.{model}.path", str(experiment.model_settings(model)["path"])
