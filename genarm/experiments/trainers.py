"""What makes the models of an experiment, by name: from pairs, from other models, or a folder as it is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from genarm.baselines.parm.settings import ParmConfig
from genarm.config import Section
from genarm.config.judge_training import JudgeTraining
from genarm.config.overlay import TrainOverlay, overlay_of
from genarm.experiments import training as make
from genarm.experiments.train_context import TrainContext

# The code of every training. Not this file: what it says of a model stands in the settings of its unit.
TRAINING = (
    "training",
    "models",
    "types",
    "config/numbers.py",
    "config/overlay.py",
    "config/train.py",
    "data/lengths.py",
    "data/refused.py",
    *(f"experiments/{name}.py" for name in ("train", "train_context", "training")),
)
TRL = ("trl",)


@dataclass(frozen=True, slots=True)
class TrainerKind:
    """One way to make a model; `train` writes it and returns its metrics."""

    about: str
    settings: type[Section]
    train: Callable[[TrainContext, Mapping[str, Any]], dict[str, float]]
    dimensions: tuple[str, ...] = ("dimension",)  # the settings that name dimensions
    models: tuple[str, ...] = ()  # the settings that name models
    code: tuple[str, ...] = TRAINING
    needs: tuple[str, ...] = ()  # packages of extras
    made: bool = True  # whether anything is to be done, once for each seed


class PairsTraining(Section):
    """Our trainer, on the pairs of one dimension."""

    dimension: str = Field(description="the dimension whose pairs are trained on")
    on: str | None = Field(None, description="the model that becomes it, such as a weak one; null: the base")
    train: TrainOverlay = Field(TrainOverlay(), description="settings of training, as in params.yaml")


class SimpoSettings(Section):
    """SimPO, on the pairs of one dimension."""

    dimension: str = Field(description="the dimension whose pairs are trained on")
    train: dict[str, Any] = Field({}, description="settings of `genarm.baselines.training.simpo`")


class RlooSettings(Section):
    """RLHF by one reward model; by several, with a weight each, MORL."""

    rewards: dict[str, str] = Field(min_length=1, description="name -> the reward model")
    weights: dict[str, float] | None = Field(None, description="name -> its share; they sum to 1")
    dimension: str = Field(description="the dimension whose training prompts are answered")
    train: dict[str, Any] = Field({}, description="settings of `genarm.baselines.training.rloo`")


class ParmTraining(Section):
    """One ARM for several dimensions, conditioned on a preference vector."""

    dimensions: tuple[str, ...] = Field(min_length=2, description="what its vector weighs, in order")
    parm: ParmConfig = Field(ParmConfig(), description="the bilinear adapter")
    train: TrainOverlay = Field(TrainOverlay(), description="settings of training, as in params.yaml")


class ShallowSettings(Section):
    """The base with fewer layers, healed on the text of pairs: a weak model with its tokenizer."""

    dimension: str = Field(description="the dimension whose pairs give the text")
    train: dict[str, Any] = Field({}, description="settings of `genarm.baselines.training.shallow`")


RewardOverlay: Any = overlay_of(JudgeTraining)


class RewardSettings(Section):
    """A reward model on the pairs of one dimension, as `genarm train-judge` trains one."""

    dimension: str = Field(description="the dimension whose pairs are trained on")
    on: str | None = Field(None, description="the model that becomes it, such as a weak one; null: the base")
    prefixes: bool = Field(False, description="train on beginnings of the responses as well, for ARGS")
    train: RewardOverlay = Field(RewardOverlay(), description="settings of `genarm train-judge`")


class FolderSettings(Section):
    """A model that is there already."""

    path: str = Field(description="its folder, within the project or not")


TRAINERS: dict[str, TrainerKind] = {
    "arm": TrainerKind("an ARM by our trainer, by either objective", PairsTraining, make.arm, models=("on",)),
    "dpo": TrainerKind("an adapter by our trainer with DPO's loss", PairsTraining, make.dpo, models=("on",)),
    "simpo": TrainerKind(
        "an adapter by TRL with SimPO's loss",
        SimpoSettings,
        make.simpo,
        code=(*TRAINING, "baselines/training/simpo.py", "baselines/training/policy.py"),
        needs=TRL,
    ),
    "rloo": TrainerKind(
        "an adapter by TRL's RLOO: RLHF by one reward model, MORL by several",
        RlooSettings,
        make.rloo,
        models=("rewards",),
        code=(
            *TRAINING,
            "decoding",
            "evaluation/respond.py",
            "judges/reward",
            *(f"baselines/training/{name}.py" for name in ("rloo", "policy", "reward", "soups")),
        ),
        needs=TRL,
    ),
    "reward": TrainerKind(
        "a reward model by TRL, on pairs",
        RewardSettings,
        make.reward,
        models=("on",),
        code=(
            *TRAINING,
            "config/judge_training.py",
            "data/pairs.py",
            "experiments/reward_pairs.py",
            "judges/reward/conversation.py",
        ),
        needs=TRL,
    ),
    "parm": TrainerKind(
        "one ARM that a preference vector conditions",
        ParmTraining,
        make.parm,
        dimensions=("dimensions",),
        code=(*TRAINING, "baselines/parm", "decoding/preference.py"),
    ),
    "shallow": TrainerKind(
        "the base with fewer layers, healed by distillation",
        ShallowSettings,
        make.shallow,
        code=(*TRAINING, "baselines/training/shallow.py", "baselines/training/policy.py"),
    ),
    "folder": TrainerKind(
        "a folder with a model that is there already", FolderSettings, make.nothing, dimensions=(), made=False
    ),
}
