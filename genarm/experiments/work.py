"""What the stage of a unit runs: its name to the function that does it."""

import logging
from collections.abc import Callable
from typing import Any

from genarm.experiments.load import Experiment
from genarm.experiments.place import find
from genarm.experiments.read import load_experiment
from genarm.experiments.stages import spec_of
from genarm.pipeline.project import Project

log = logging.getLogger(__name__)
Work = Callable[[Experiment, str, dict[str, Any]], None]


def run_unit(project: Project, name: str, unit: str) -> None:
    """Do one unit of an experiment, as DVC asks for it. Raises PipelineError for one that it has not."""
    place = find(project.root, name)
    spec = spec_of(place, unit)
    kind, _, rest = unit.partition("-")
    WORK[kind](load_experiment(project, place), rest, spec)


def _pairs(experiment: Experiment, dimension: str, _spec: dict[str, Any]) -> None:
    from genarm.experiments.pairs import write_pairs

    write_pairs(experiment, dimension)


def _prompts(experiment: Experiment, _rest: str, _spec: dict[str, Any]) -> None:
    from genarm.experiments.enough import shortfalls
    from genarm.experiments.pairs import write_prompts
    from genarm.system.files import read_rows
    from genarm.types import Prompt

    write_prompts(experiment)
    written = [
        len(read_rows(file, Prompt)) for file in (experiment.place.prompts, experiment.place.validation)
    ]
    for line in shortfalls(experiment, *written):
        log.warning("%s", line)


def _train(experiment: Experiment, rest: str, _spec: dict[str, Any]) -> None:
    from genarm.experiments.train import train

    model, _, seed = rest.rpartition("-")
    train(experiment, model, int(seed))


def _validation(experiment: Experiment, _rest: str, _spec: dict[str, Any]) -> None:
    from genarm.experiments.answer import answer_validation

    answer_validation(experiment)


def _tune(experiment: Experiment, row: str, spec: dict[str, Any]) -> None:
    from genarm.experiments.tune import tune

    tune(experiment, row, spec)


def _answer(experiment: Experiment, rest: str, spec: dict[str, Any]) -> None:
    from genarm.experiments.answer import answer

    row, _, seed = rest.rpartition("-")
    answer(experiment, row, int(seed), spec)


def _judge(experiment: Experiment, row: str, _spec: dict[str, Any]) -> None:
    from genarm.experiments.judge import judge

    judge(experiment, row)


def _speed(experiment: Experiment, row: str, _spec: dict[str, Any]) -> None:
    from genarm.experiments.speed import speed

    speed(experiment, row)


def _table(experiment: Experiment, _rest: str, _spec: dict[str, Any]) -> None:
    from genarm.experiments.output import write_results

    write_results(experiment)


WORK: dict[str, Work] = {
    "pairs": _pairs,
    "prompts": _prompts,
    "train": _train,
    "validation": _validation,
    "tune": _tune,
    "answer": _answer,
    "judge": _judge,
    "speed": _speed,
    "table": _table,
}
