"""Trained judges brought into the project: fetched by version, refused where an ARM would see their pairs."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from genarm import registry
from genarm.config.judge import TrainedJudgeConfig
from genarm.data.pairs import split_of_conversation
from genarm.errors import JudgeError
from genarm.models.judge_folder import conversations_of
from genarm.pipeline.project import Project
from genarm.system.counted import counted


def fetch_judges(project: Project) -> None:
    """Fetch every trained judge of params.yaml that is not there; only then is the registry opened.

    Raises JudgeError where there is no such version, or its training pairs are now those of an ARM.
    """
    for dimension, config in trained(project):
        fetch_judge(project, dimension, config)


def fetch_judge(project: Project, dimension: str, config: TrainedJudgeConfig) -> None:
    """The same for one of them, which judges `dimension`. A damaged one is found when it is loaded."""
    folder = folder_of(project, config)
    if not folder.is_dir():
        registry.connect(project.root).fetch_judge(str(config.dimension), config.version, folder)
    with contextlib.suppress(OSError):
        check_disjoint(project, dimension, conversations_of(folder))


def folder_of(project: Project, config: TrainedJudgeConfig) -> Path:
    """Where a trained judge lies, or will."""
    assert config.dimension is not None, "DimensionConfig.named gives it one"
    return project.layout.trained_judge(config.dimension, config.version)


def check_disjoint(project: Project, dimension: str, conversations: set[str]) -> None:
    """Raise JudgeError where conversations that a judge was trained on fall into another split by now.

    The split of a conversation follows from its id and the section `pairs`, so no file is read.
    """
    config = project.params.pairs
    splits = [split_of_conversation(i, config) for i in conversations]
    if (others := len(splits) - splits.count("judge")) == 0:
        return
    found = ", ".join(
        f"{splits.count(s)} in {s}" for s in ("train", "validation", "evaluation") if s in splits
    )
    raise JudgeError(
        f"the judge of {dimension!r} was trained on {counted(len(splits), 'conversation')}, "
        f"of which {others} are no longer set aside for it: {found}",
        hint="give pairs.seed and the shares of pairs the values that it was trained with, or train it "
        f"again: genarm train-judge {dimension}",
    )


def trained(project: Project) -> Iterator[tuple[str, TrainedJudgeConfig]]:
    """Every trained judge of params.yaml, with the dimension that it judges."""
    for dimension, config in project.params.dimensions.items():
        for judge in (config.judge, config.held_out):
            if judge is not None and judge.trained is not None:
                yield dimension, judge.trained
