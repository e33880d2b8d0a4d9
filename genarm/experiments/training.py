"""The models of an experiment made from their settings; what each one imports is loaded when it is made."""

import os
from collections.abc import Mapping
from typing import Any

from genarm.config import TrainConfig
from genarm.config.overlay import TrainOverlay, laid_over
from genarm.experiments.train_context import TrainContext
from genarm.models import resolve
from genarm.system.files import read_rows
from genarm.training.trained import Trained
from genarm.types import PreferencePair, Provenance

Settings = Mapping[str, Any]
GUIDES = Provenance(data_md5=None, git_commit=None, weight=1.0)


def arm(context: TrainContext, settings: Settings) -> Trained:
    """An ARM; `train.objective` says by which loss."""
    return _ours(context, settings)


def dpo(context: TrainContext, settings: Settings) -> Trained:
    """An adapter by DPO's loss."""
    return _ours(context, settings, objective="dpo")


def _ours(context: TrainContext, settings: Settings, **fixed: Any) -> Trained:
    from genarm.training.train import train_arm

    dimension = settings["dimension"]
    if on := settings.get("on"):
        fixed["model"] = os.path.relpath(context.models[on])  # the card says it: no path of this machine
    result = train_arm(
        context.split(dimension, "train"),
        context.split(dimension, "validation"),
        dimension=dimension,
        base=context.base,
        dtype=context.dtype,
        config=_config(settings, dimension, seed=context.seed, **fixed),
        out=context.out,
        checkpoints=context.checkpoints,
        provenance=GUIDES,
    )
    return Trained(result.metrics, result.curves)


def _config(settings: Settings, dimension: str, **fixed: Any) -> TrainConfig:
    """The settings of a training with those that the trainer sets itself."""
    overlay = TrainOverlay(**(dict(settings.get("train", {})) | fixed))
    return laid_over(TrainOverlay(), overlay, dimension)


def simpo(context: TrainContext, settings: Settings) -> Trained:
    """An adapter by SimPO."""
    from genarm.baselines.training.settings import SimpoTraining
    from genarm.baselines.training.simpo import train

    dimension = settings["dimension"]
    return train(
        context.base,
        context.split(dimension, "train"),
        name=context.name,
        dtype=context.dtype,
        config=SimpoTraining(**(settings.get("train", {}) | {"seed": context.seed})),
        out=context.out,
        work=context.checkpoints,
    )


def rloo(context: TrainContext, settings: Settings) -> Trained:
    """An adapter by RLOO, on the training prompts of a dimension."""
    from genarm.baselines.training.rloo import train
    from genarm.baselines.training.settings import RlooTraining

    pairs = read_rows(context.split(settings["dimension"], "train"), PreferencePair)
    prompts = {pair.prompt.id: pair.prompt for pair in pairs}
    return train(
        context.base,
        list(prompts.values()),
        {name: context.models[model] for name, model in settings["rewards"].items()},
        weights=settings.get("weights"),
        name=context.name,
        dtype=context.dtype,
        config=RlooTraining(**(settings.get("train", {}) | {"seed": context.seed})),
        out=context.out,
        work=context.checkpoints,
    )


def reward(context: TrainContext, settings: Settings) -> Trained:
    """A reward model, with a card as a trained judge has it."""
    from genarm.config.judge_training import JudgeTraining
    from genarm.experiments.reward_pairs import train_reward

    config = JudgeTraining(**(settings.get("train", {}) | {"seed": context.seed}))
    start = resolve(str(context.models[on])) if (on := settings.get("on")) else context.base
    return train_reward(
        context, start, settings["dimension"], config, prefixes=bool(settings.get("prefixes"))
    )


def parm(context: TrainContext, settings: Settings) -> Trained:
    """One ARM that a preference vector conditions."""
    from genarm.baselines.parm.settings import ParmConfig
    from genarm.baselines.parm.train import train_parm

    dimensions = settings["dimensions"]
    result = train_parm(
        {d: context.split(d, "train") for d in dimensions},
        {d: context.split(d, "validation") for d in dimensions},
        name=context.name,
        base=context.base,
        dtype=context.dtype,
        config=_config(settings, dimensions[0], seed=context.seed),
        parm=ParmConfig(**settings.get("parm", {})),
        out=context.out,
        checkpoints=context.checkpoints,
        provenance=GUIDES,
    )
    return Trained(result.metrics, result.curves)


def shallow(context: TrainContext, settings: Settings) -> Trained:
    """A weak model of the base."""
    from genarm.baselines.training.settings import ShallowTraining
    from genarm.baselines.training.shallow import train

    dimension = settings["dimension"]
    return train(
        context.base,
        context.split(dimension, "train"),
        context.split(dimension, "validation"),
        name=context.name,
        dtype=context.dtype,
        config=ShallowTraining(**(settings.get("train", {}) | {"seed": context.seed})),
        out=context.out,
        work=context.checkpoints,
    )


def nothing(context: TrainContext, settings: Settings) -> Trained:
    """A folder that is there already: nothing is to be made."""
    return Trained({}, [])
