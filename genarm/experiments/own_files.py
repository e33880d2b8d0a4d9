"""Whether all files that an experiment names lie in its project, where git and DVC have them."""

from collections.abc import Iterator

from genarm.errors import ConfigError
from genarm.experiments.config import DataConfig, ExperimentConfig
from genarm.experiments.place import Place
from genarm.experiments.trainers import TRAINERS


def check_own_files(config: ExperimentConfig, place: Place) -> None:
    """Raise ConfigError for a file or folder elsewhere: on another machine its path would lead nowhere."""
    for key, path in _named(config):
        if not place.holds(path):
            raise ConfigError(
                f"{place.relative(place.file)}: {key}: {path} lies outside of the project",
                hint="put it into the project, or a link to it, and name it from the project's root",
            )


def _named(config: ExperimentConfig) -> Iterator[tuple[str, str]]:
    if config.prompts.file:
        yield "prompts.file", config.prompts.file
    for dimension, data in config.data.items():
        if isinstance(data, DataConfig):
            yield f"data.{dimension}.folder", data.folder
            yield f"data.{dimension}.files", f"{data.folder}/{data.files}"
    for name, model in config.models.items():
        if not TRAINERS[model.trainer].made:
            yield f"models.{name}.path", str(model.settings["path"])
