"""Reading an `experiment.yaml`: what cannot work is one ConfigError, before anything is run."""

from collections.abc import Mapping

from pydantic import ValidationError

from genarm.config.explain import explain
from genarm.config.load import read_yaml
from genarm.errors import ConfigError
from genarm.experiments.checks.claims import check_claims
from genarm.experiments.checks.names import check_names
from genarm.experiments.checks.refusal import refused
from genarm.experiments.checks.settings import check_settings
from genarm.experiments.config import ExperimentConfig
from genarm.experiments.load import Experiment
from genarm.experiments.own_files import check_own_files
from genarm.experiments.place import Place
from genarm.pipeline.project import Project


def load_experiment(project: Project, place: Place) -> Experiment:
    """The experiment of a folder. Raises ConfigError naming file, key and the nearest that is known."""
    where = place.relative(place.file)
    values = read_yaml(place.file)
    if not isinstance(values, Mapping):
        raise ConfigError(f"{where} holds no experiment", hint="docs/experiments.md says how to write one")
    try:
        config = ExperimentConfig.model_validate(values)
    except ValidationError as error:
        raise refused(where, explain(error, ExperimentConfig)) from None
    experiment = Experiment(place, config, project)
    for check in (check_settings, check_names, check_claims):
        check(experiment, where)
    check_own_files(config, place)
    return experiment
