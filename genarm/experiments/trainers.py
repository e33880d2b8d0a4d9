"""What makes the models of an experiment, by name: from pairs, from other models, or a folder as it is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from genarm.config import Section, TrainConfig
from genarm.config.overlay import TrainOverlay, laid_over
from genarm.models import ModelSource
from genarm.system.files import write_json

TRAINING = ("training", "models", "config/train.py", "types.py")  # what every training depends on


@dataclass(frozen=True, slots=True)
class TrainContext:
    """What a model is made in: its pairs by dimension, other models by name, and where it goes."""

    base: ModelSource
    dtype: str
    pairs: Mapping[str, Path]  # dimension -> folder of splits
    prompts: Path  # the file of validation prompts
    models: Mapping[str, Path]
    seed: int
    out: Path
    checkpoints: Path


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
    reads_prompts: bool = False  # whether it draws responses to the validation prompts, as RLHF does
    made: bool = True  # whether anything is to be done, once for each seed


class PairsTraining(Section):
    """Our trainer, on the pairs of one dimension."""

    dimension: str = Field(description="the dimension whose pairs are trained on")
    train: TrainOverlay = Field(TrainOverlay(), description="settings of training, as in params.yaml")


class FolderSettings(Section):
    """A model that is there already."""

    path: str = Field(description="its folder, within the project or not")


def _config(settings: Mapping[str, Any], **fixed: Any) -> TrainConfig:
    """The settings of a training with those that the trainer sets itself."""
    given = dict(settings["train"]) | fixed
    return laid_over(TrainOverlay(), TrainOverlay(**given), settings["dimension"])


def _train(context: TrainContext, settings: Mapping[str, Any], objective: str) -> dict[str, float]:
    from genarm.training.train import train_arm
    from genarm.types import Provenance

    dimension = settings["dimension"]
    folder = context.pairs[dimension]
    result = train_arm(
        folder / "train.jsonl",
        folder / "validation.jsonl",
        dimension=dimension,
        base=context.base,
        dtype=context.dtype,
        config=_config(settings, objective=objective, seed=context.seed),
        out=context.out,
        checkpoints=context.checkpoints,
        provenance=Provenance(data_md5=None, git_commit=None, weight=1.0),
    )
    return result.metrics


def _arm(context: TrainContext, settings: Mapping[str, Any]) -> dict[str, float]:
    return _train(context, settings, settings["train"].get("objective", "arm"))


def _dpo(context: TrainContext, settings: Mapping[str, Any]) -> dict[str, float]:
    return _train(context, settings, "dpo")


def _nothing(context: TrainContext, settings: Mapping[str, Any]) -> dict[str, float]:
    write_json(context.out / "unchanged.json", {})
    return {}


TRAINERS: dict[str, TrainerKind] = {
    "arm": TrainerKind("an ARM by our trainer, by either objective", PairsTraining, _arm),
    "dpo": TrainerKind("an adapter by our trainer with DPO's loss", PairsTraining, _dpo),
    "folder": TrainerKind(
        "a folder with a model that is there already", FolderSettings, _nothing, dimensions=(), made=False
    ),
}
