"""What an experiment needs of the machine, looked at once before its stages are written, without a model."""

import json
from itertools import product
from pathlib import Path

from genarm.baselines.training.settings import ENDS
from genarm.config import JudgeConfig
from genarm.errors import DataError, JudgeError
from genarm.experiments.checks.names import what_it_is
from genarm.experiments.checks.refusal import refused
from genarm.experiments.checks.tokenizers import check_tokenizers
from genarm.experiments.load import Experiment
from genarm.experiments.pairs import prompts_of_file
from genarm.judges.apart import shared
from genarm.judges.check import check, own_files


def check_needs(experiment: Experiment) -> None:
    """Folders of models and their tokenizers, judges, prompts and the base's shape are as they are needed.

    No judge behind an API is asked: what it said may all be there. Raises ConfigError with the first that is
    not so, ModelError where there is no base.
    """
    where = experiment.place.relative(experiment.place.file)
    for model in experiment.config.models:
        _folder(experiment, where, model)
    check_tokenizers(experiment, where)
    _prompts(experiment, where)
    _judges(experiment, where)
    _shape(experiment, where)


def _folder(experiment: Experiment, where: str, model: str) -> None:
    """A model that is not made here lies in its folder."""
    if what_it_is(experiment, model) is None:
        path = experiment.model_settings(model)["path"]
        there = (experiment.place.root / path).is_dir()
        what = "holds neither config.json nor adapter_config.json" if there else "is not there"
        way_out = "name the folder of a model, from the project's root"
        raise refused(where, f"models.{model}: the folder {path} {what}", way_out)


def _prompts(experiment: Experiment, where: str) -> None:
    place, name = experiment.place, experiment.config.prompts.file
    if name is None:
        return
    file = (place.root / name).resolve()
    if not file.is_file() and _fetched(place.root.resolve(), file):
        return  # DVC brings it
    try:
        prompts_of_file(file, name)
    except DataError as error:
        raise refused(where, f"prompts.file: {error.message}", error.hint) from None


def _fetched(root: Path, file: Path) -> bool:
    """Whether a `.dvc` file says that DVC has the file, or a folder that it lies in."""
    above = [file, *file.parents]
    return any(path.with_name(f"{path.name}.dvc").is_file() for path in above[: above.index(root)])


def _judges(experiment: Experiment, where: str) -> None:
    """Every judge can be loaded, and no held-out one is the gold judge by another name."""
    config, root = experiment.config, experiment.place.root
    named: dict[str, JudgeConfig] = {}
    for dimension, judges in config.judges.items():
        named[f"judges.{dimension}.gold"] = judges.gold
        if judges.held_out:
            named[f"judges.{dimension}.held_out"] = judges.held_out
    for dimension in config.data:
        if relabel := experiment.data(dimension).relabel:
            named[f"data.{dimension}.relabel"] = relabel
    for row, own in config.methods.items():
        if own.method == "best_of_n" and own.settings.get("judge"):
            named[f"methods.{row}.judge"] = JudgeConfig.model_validate(own.settings["judge"])
    for key, judge in named.items():
        try:
            if judge.llm is None:
                check(judge, root)
            else:
                _template(judge, root)
        except JudgeError as error:
            raise refused(where, f"{key}: {error.message}", error.hint) from None
    for dimension, judges in config.judges.items():
        if judges.held_out and (both := shared(judges.gold, judges.held_out, root)):
            raise refused(where, f"judges.{dimension}: held_out and gold are one judge, {both}: name another")


def _template(judge: JudgeConfig, root: Path) -> None:
    if lacking := next((file for file in own_files(judge, root) if not file.is_file()), None):
        raise JudgeError(f"there is no template {lacking.name}", hint="write it, or remove `template`")


def _shape(experiment: Experiment, where: str) -> None:
    """No more candidates than the base has tokens, and no more layers than it has."""
    try:
        shape = json.loads((experiment.base.path / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return  # said with more words where the model is loaded
    shape = shape.get("text_config", shape)
    tokens, layers = shape.get("vocab_size"), shape.get("num_hidden_layers")
    if isinstance(tokens, int):
        for row in experiment.config.methods:
            for varied, point in product(experiment.candidates(row) or [{}], experiment.points(row)):
                k = experiment.row_settings(row, varied | point).get("k")
                if k is not None and k > tokens:
                    raise refused(where, f"methods.{row}: k = {k}, and the base has {tokens} tokens")
    if isinstance(layers, int):
        for model, own in experiment.config.models.items():
            kept = experiment.model_settings(model).get("train", {}).get("layers")
            if own.trainer == "shallow" and not 2 * ENDS <= kept < layers:
                raise refused(
                    where,
                    f"models.{model}: train.layers = {kept}, and the base has {layers}",
                    f"choose {2 * ENDS} to {layers - 1}",
                )
