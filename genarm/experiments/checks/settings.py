"""Settings of methods and trainers: known, whole, and none that another one would replace in silence."""

from collections.abc import Mapping
from itertools import product
from typing import Any

from genarm.baselines.parm.settings import ParmConfig
from genarm.config import SamplingConfig, TrainConfig
from genarm.errors import ConfigError
from genarm.experiments.checks.refusal import installed, known, refused, valid
from genarm.experiments.checks.searched import cannot_be_searched
from genarm.experiments.config import DataConfig
from genarm.experiments.constraint import cannot_be_constrained
from genarm.experiments.load import Experiment
from genarm.experiments.methods import METHODS
from genarm.experiments.trainers import TRAINERS, PairsTraining, ParmTraining

# Settings of `sampling` and `train` that experiments do not pass on, since all rows answer alike.
NOT_SAMPLING = ("strategy", "speculate", "compiled")
NOT_TRAINING = ("warm_start", "launcher", "processes", "accelerate_config")


def check_settings(experiment: Experiment, where: str) -> None:
    """Methods and trainers that are known and installed, with settings that they take and that count.

    Raises ConfigError with the first that is not so.
    """
    config = experiment.config
    for name, row in config.methods.items():
        known(where, f"methods.{name}: unknown method", row.method, METHODS)
        kind = METHODS[row.method]
        if wrong := cannot_be_constrained(row, config):
            raise refused(where, f"methods.{name}.constrain: {wrong}")
        if wrong := cannot_be_searched(experiment, name):
            raise refused(where, f"methods.{name}.tune: {wrong}")
        for tried, point in product(experiment.candidates(name) or [{}], experiment.points(name)):
            valid(where, f"methods.{name}", kind.settings, row.settings | tried | point)
        installed(where, f"methods.{name}", row.method, kind.needs)
    for dimension in config.data:
        if isinstance(given := config.data[dimension], DataConfig) and given.from_:
            raise refused(where, f"data.{dimension}.from is for `genarm refresh`; leave it out")
    for name, model in config.models.items():
        known(where, f"models.{name}: unknown trainer", model.trainer, TRAINERS)
        trainer = TRAINERS[model.trainer]
        valid(where, f"models.{name}", trainer.settings, model.settings)
        _training(where, f"models.{name}", model.trainer, trainer.settings(**model.settings))
        installed(where, f"models.{name}", model.trainer, trainer.needs)
    _sampling(experiment, where)


def _training(where: str, key: str, trainer: str, section: Any) -> None:
    """Settings of a training that the experiment sets itself, and those that do not go together."""
    train = getattr(section, "train", None)
    if train is None:
        return
    given: dict[str, Any] = train.model_dump(exclude_unset=True)
    if "seed" in given:
        raise refused(where, f"{key}: train.seed = {given['seed']} does not count: `seeds` are the seeds")
    if isinstance(layers := given.get("layers"), int) and layers < 1:
        raise refused(where, f"{key}: train.layers = {layers} is no number of layers")
    if isinstance(section, PairsTraining | ParmTraining):
        _ours(where, key, trainer, section, given)


def _ours(where: str, key: str, trainer: str, section: Any, given: Mapping[str, Any]) -> None:
    if unused := next((name for name in NOT_TRAINING if name in given), None):
        raise refused(where, f"{key}: train.{unused} is not used in an experiment: leave it out")
    if trainer == "dpo" and given.get("objective", "dpo") != "dpo":
        raise refused(
            where,
            f"{key}: trainer dpo trains with objective dpo, and train.objective = {given['objective']!r}: "
            "leave it out, or take `trainer: arm`",
        )
    if getattr(section, "on", None) and (
        both := next((n for n in ("model", "revision") if n in given), None)
    ):
        raise refused(
            where, f"{key}: it is trained on {section.on!r} by `on`, and train.{both} names another"
        )
    valid(where, f"{key}: train", TrainConfig, given)
    if isinstance(section, ParmTraining):
        try:
            ParmConfig.check(section.parm, TrainConfig(**given), section.dimensions)
        except ConfigError as error:
            raise refused(where, f"{key}: {error.message}", error.hint) from None


def _sampling(experiment: Experiment, where: str) -> None:
    """Settings of the base and of sampling that do not count here, or that a method cannot answer under."""
    sampling = experiment.config.sampling
    for name in NOT_SAMPLING:
        if getattr(sampling, name) != SamplingConfig.model_fields[name].default:
            raise refused(
                where, f"sampling.{name} is not used in an experiment, where all rows answer alike: remove it"
            )
    if experiment.base_config.device_map is not None:
        raise refused(
            where,
            f"base.device_map = {experiment.base_config.device_map!r} is not used in an experiment: "
            "give it a `base` of its own without it",
        )
    for name, row in experiment.config.methods.items():
        if sampling.temperature == 0 and row.method in ("cards", "best_of_n"):
            raise refused(
                where,
                f"methods.{name}: {row.method} draws several responses of the base, which are all the same "
                "at sampling.temperature 0: raise it, or leave the row out",
            )
