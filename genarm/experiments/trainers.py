"""What makes the models of an experiment, by name: from pairs, from other models, or a folder as it is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field, model_validator

from genarm.baselines.parm.settings import ParmConfig
from genarm.baselines.training.mean import check_mean
from genarm.baselines.training.settings import RlooTraining, ShallowTraining, SimpoTraining
from genarm.config import Section
from genarm.config.judge_training import JudgeTraining
from genarm.config.overlay import TrainOverlay
from genarm.errors import ConfigError
from genarm.experiments import training as make
from genarm.experiments.train_context import TrainContext
from genarm.training.trained import Trained

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


Made = Literal["adapter", "model", "reward", "parm"]  # what a model is, which decides what may use it


@dataclass(frozen=True, slots=True)
class TrainerKind:
    """One way to make a model; `train` writes it and returns its metrics and curves."""

    about: str
    settings: type[Section]
    train: Callable[[TrainContext, Mapping[str, Any]], Trained]
    dimensions: tuple[str, ...] = ("dimension",)  # the settings that name dimensions
    models: tuple[str, ...] = ()  # the settings that name models
    code: tuple[str, ...] = TRAINING
    needs: tuple[str, ...] = ()  # packages of extras
    gives: Made | None = "adapter"  # None: its files say it
    made: bool = True  # whether anything is to be done, once for each seed


class PairsTraining(Section):
    """Our trainer, on the pairs of one dimension."""

    dimension: str = Field(description="the dimension whose pairs are trained on")
    on: str | None = Field(None, description="the model that becomes it, such as a weak one; null: the base")
    train: TrainOverlay = Field(TrainOverlay(), description="settings of training, as in params.yaml")


class SimpoSettings(Section):
    """SimPO, on the pairs of one dimension."""

    dimension: str = Field(description="the dimension whose pairs are trained on")
    train: SimpoTraining = Field(SimpoTraining(), description="how SimPO trains")


class RlooSettings(Section):
    """RLHF by one reward model; by several, with a weight each, MORL."""

    rewards: dict[str, str] = Field(min_length=1, description="name -> the reward model")
    weights: dict[str, float] | None = Field(
        None, description="name -> its share; they sum to 1; a reward alone needs none"
    )
    dimension: str = Field(description="the dimension whose training prompts are answered")
    train: RlooTraining = Field(RlooTraining(), description="how the policy trains")

    @model_validator(mode="after")
    def _weights_are_those_of_a_mean(self) -> "RlooSettings":
        if self.weights is None and len(self.rewards) > 1:
            raise ValueError(f"{len(self.rewards)} rewards need `weights`, a share of each that sum to 1")
        try:
            check_mean(self.weights or dict.fromkeys(self.rewards, 1.0), self.rewards)
        except ConfigError as error:
            raise ValueError(f"weights: {error.message}") from None
        return self


class ParmTraining(Section):
    """One ARM for several dimensions, conditioned on a preference vector."""

    dimensions: tuple[str, ...] = Field(min_length=2, description="what its vector weighs, in order")
    parm: ParmConfig = Field(ParmConfig(), description="the bilinear adapter")
    train: TrainOverlay = Field(TrainOverlay(), description="settings of training, as in params.yaml")


class ShallowSettings(Section):
    """The base with fewer layers, healed on the text of pairs: a weak model with its tokenizer."""

    dimension: str = Field(description="the dimension whose pairs give the text")
    train: ShallowTraining = Field(description="how many layers are kept, and how it is healed")


class RewardSettings(Section):
    """A reward model on the pairs of one dimension, as `genarm train-judge` trains one."""

    dimension: str = Field(description="the dimension whose pairs are trained on")
    on: str | None = Field(None, description="the model that becomes it, such as a weak one; null: the base")
    prefixes: bool = Field(False, description="train on beginnings of the responses as well, for ARGS")
    train: JudgeTraining = Field(JudgeTraining(), description="settings of `genarm train-judge`")


class FolderSettings(Section):
    """A model that is there already."""

    path: str = Field(description="its folder, within the project")


TRAINERS: dict[str, TrainerKind] = {
    "arm": TrainerKind("an ARM by our trainer, by either objective", PairsTraining, make.arm, models=("on",)),
    "dpo": TrainerKind("an adapter by our trainer with DPO's loss", PairsTraining, make.dpo, models=("on",)),
    "simpo": TrainerKind(
        "an adapter by TRL with SimPO's loss",
        SimpoSettings,
        make.simpo,
        code=(*TRAINING, *(f"baselines/training/{n}.py" for n in ("simpo", "settings", "policy"))),
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
            *(f"baselines/training/{n}.py" for n in ("rloo", "settings", "mean", "policy", "reward")),
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
            "evaluation/win_rate.py",
            "experiments/reward_pairs.py",
            "judges/reward",
            "pipeline/judge_accuracy.py",
        ),
        needs=TRL,
        gives="reward",
    ),
    "parm": TrainerKind(
        "one ARM that a preference vector conditions",
        ParmTraining,
        make.parm,
        dimensions=("dimensions",),
        code=(*TRAINING, "baselines/parm", "decoding/preference.py"),
        gives="parm",
    ),
    "shallow": TrainerKind(
        "the base with fewer layers, healed by distillation",
        ShallowSettings,
        make.shallow,
        code=(*TRAINING, *(f"baselines/training/{n}.py" for n in ("shallow", "settings", "policy"))),
        gives="model",
    ),
    "folder": TrainerKind(
        "a folder with a model that is there already",
        FolderSettings,
        make.nothing,
        dimensions=(),
        gives=None,
        made=False,
    ),
}
