"""Names of models, rows and dimensions: each stands for one that is there, of the kind that is wanted."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from genarm.experiments.checks.refusal import known, refused
from genarm.experiments.load import Experiment
from genarm.experiments.methods import named_models
from genarm.experiments.trainers import Made

LANGUAGE: tuple[Made, ...] = ("adapter", "model")
# What a setting that names models may name, by the setting, of methods and of trainers.
WANTED: Mapping[str, tuple[Made, ...]] = {
    **dict.fromkeys(("arms", "arm", "adapter", "aligned"), LANGUAGE),
    **dict.fromkeys(("reward", "baseline_reward", "rewards"), ("reward",)),
    "adapters": ("adapter",),
    "parm": ("parm",),
    "on": ("model",),
}
CALLED: Mapping[Made, str] = {
    "adapter": "an adapter",
    "model": "a whole language model",
    "reward": "a reward model",
    "parm": "a PARM",
}
OF_ONE_DIMENSION = ("arm", "dpo", "simpo")  # trainers whose model has learned the dimension that it names


def check_names(experiment: Experiment, where: str) -> None:
    """Raise ConfigError with the first name that leads nowhere, in a circle, or to another kind of model."""
    config = experiment.config
    for dimension, data in config.data.items():
        if data == "project":
            of_project = experiment.project.params.dimensions
            known(where, "data: unknown dimension of the project", dimension, of_project)
    for name in config.methods:
        for model in experiment.models_of(name):
            known(where, f"methods.{name}: unknown model", model, config.models)
    for name in config.models:
        for model in experiment.parts_of(name):
            known(where, f"models.{name}: unknown model", model, config.models)
        for key in experiment.trainer(name).dimensions:
            for dimension in named_models(experiment.model_settings(name).get(key)):
                known(where, f"models.{name}: unknown dimension", dimension, config.data)
    _no_circle(experiment, where)
    if "base" not in config.methods or config.methods["base"].method != "base":
        raise refused(where, "methods has no row `base: {method: base}`, which all others are measured from")
    for row in config.over:
        known(where, "over: unknown row", row, config.methods)
        if config.methods[row].constrain:
            raise refused(where, f"over: {row} has constrain, and answers nothing where nothing meets it")
    for name in config.models:
        _right_kinds(experiment, where, f"models.{name}", experiment.model_settings(name))
    for name, own in config.methods.items():
        for varied in experiment.candidates(name) or [{}]:
            for point in experiment.points(name):
                settings = experiment.row_settings(name, varied | point)
                _right_kinds(experiment, where, f"methods.{name}", settings)
                _dimensions(experiment, where, f"methods.{name}", own.method, settings)


def what_it_is(experiment: Experiment, model: str) -> Made | None:
    """What a model is once it is trained, or by the files of its folder; None where they do not say it."""
    kind, settings = experiment.trainer(model), experiment.model_settings(model)
    if kind.made:
        return "model" if settings.get("train", {}).get("method") == "full" else kind.gives
    folder = experiment.place.root / settings["path"]
    if config := _read(folder / "adapter_config.json"):
        return "parm" if config.get("peft_type") == "PARM" else "adapter"
    if config := _read(folder / "config.json"):
        classifier = any("SequenceClassification" in str(a) for a in config.get("architectures") or ())
        return "reward" if classifier else "model"
    return None


def _read(file: Path) -> Mapping[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # that it is damaged is said with more words when it is loaded
        return {}
    return found if isinstance(found, dict) else {}


def _no_circle(experiment: Experiment, where: str) -> None:
    """No model is made of itself."""
    for first in experiment.config.models:
        path = [first]
        waiting = [[first, part] for part in experiment.parts_of(first)]
        seen = set[str]()
        while waiting:
            path = waiting.pop()
            if path[-1] == first:
                raise refused(where, f"models.{first} is made of itself: {' on '.join(path)}")
            if path[-1] not in seen:
                seen.add(path[-1])
                waiting += [[*path, part] for part in experiment.parts_of(path[-1])]


def _right_kinds(experiment: Experiment, where: str, key: str, settings: Mapping[str, Any]) -> None:
    """Each model that a setting names is of a kind that can stand there."""
    for setting, wanted in WANTED.items():
        if setting not in settings or isinstance(settings[setting], bool):
            continue
        if setting == "parm" and not isinstance(settings[setting], str):
            continue  # the trainer's own settings of that name
        for model in named_models(settings[setting]):
            found = what_it_is(experiment, model)
            if found is not None and found not in wanted:  # `needs` says that a folder holds no model
                made = experiment.config.models[model].trainer
                raise refused(
                    where,
                    f"{key}: {setting} is {' or '.join(CALLED[w] for w in wanted)}, and models.{model} "
                    f"(trainer: {made}) is {CALLED[found]}",
                )
            if setting == "adapter" and found == "model" and settings.get("scale", 1) != 1:
                raise refused(where, f"{key}: scale is of an adapter, and models.{model} is {CALLED[found]}")
            if setting == "adapters" and experiment.model_settings(model).get("on"):
                raise refused(
                    where, f"{key}: a soup is of adapters on the base, and models.{model} is on another"
                )


def _dimensions(
    experiment: Experiment, where: str, key: str, method: str, settings: Mapping[str, Any]
) -> None:
    """The dimensions that a row names are those of the data, and of the models that it names for them."""
    data = experiment.config.data
    if method == "parm":
        for dimension in settings["dimensions"]:
            known(where, f"{key}: unknown dimension", dimension, data)
        trained = experiment.model_settings(settings["parm"]).get("dimensions")
        if trained and set(trained) != set(settings["dimensions"]):
            raise refused(
                where,
                f"{key}: dimensions are {', '.join(settings['dimensions'])}, and the PARM "
                f"models.{settings['parm']} is of {', '.join(trained)}",
            )
    for setting in ("arms", "adapters"):
        for dimension, model in settings.get(setting, {}).items():
            known(where, f"{key}: {setting}: unknown dimension", dimension, data)
            learned = experiment.model_settings(model).get("dimension")
            if experiment.config.models[model].trainer in OF_ONE_DIMENSION and learned != dimension:
                raise refused(
                    where, f"{key}: {setting}.{dimension} is models.{model}, which is trained on {learned!r}"
                )
