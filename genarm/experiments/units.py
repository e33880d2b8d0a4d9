"""The units of work of an experiment: what each one depends on, and what it writes.

A unit is a stage of DVC. Its `spec` holds all that it depends on besides files: the settings that concern it
and a hash of the code that it runs. So a change runs again what it concerns, and a row more no other row.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from genarm.experiments.load import Experiment
from genarm.experiments.methods import DECODING, METHODS, named_models
from genarm.pipeline.kept import code

ANSWERING = (*DECODING, "evaluation/respond.py", "experiments/answer.py")
JUDGING = ("judges", "types", "experiments/judge.py")
TABLE = (
    "results",
    "front_results",
    "tables",
    "claims",
    "resampling",
    "sizes",
    "fronts",
    "measured",
    "page",
    "output",
)
MEASURING = ("evaluation", *(f"experiments/{n}.py" for n in TABLE))


@dataclass(frozen=True)
class Unit:
    """One unit of work; `paths` are files or folders."""

    name: str
    spec: Mapping[str, Any]
    reads: list[Path] = field(default_factory=list)
    writes: list[Path] = field(default_factory=list)
    cached: bool = True  # whether DVC keeps what it writes; git has the results


def units(experiment: Experiment) -> list[Unit]:
    """All units, in an order in which they can run."""
    made = _Units(experiment)
    return [
        *made.pairs(),
        made.prompts(),
        *made.trainings(),
        *made.tuning(),
        *made.answers(),
        *made.judgements(),
        *made.speeds(),
        made.table(),
    ]


@dataclass(frozen=True)
class _Units:
    of: Experiment

    def pairs(self) -> Iterator[Unit]:
        for dimension in self.of.config.data:
            data = self.of.data(dimension)
            spec = {
                "data": data.model_dump(mode="json"),
                "pairs": self.of.pairs_config.model_dump(mode="json"),
                "base": self.of.base_content,
                "code": code("data", "models", "experiments/pairs.py", "types"),
            }
            folder = self.of.place.root / data.folder
            yield Unit(f"pairs-{dimension}", spec, [folder], [self.of.place.pairs(dimension)])

    def prompts(self) -> Unit:
        place, config = self.of.place, self.of.config
        spec = {
            "prompts": config.prompts.model_dump(mode="json"),
            "tuning": config.tuning.prompts,
            "code": code("data/prompts.py", "experiments/pairs.py", "types"),
        }
        reads = [place.pairs(dimension) for dimension in config.data]
        if config.prompts.file:
            reads.append(place.root / config.prompts.file)
        return Unit("prompts", spec, reads, [place.prompts.parent])

    def trainings(self) -> Iterator[Unit]:
        for model in self._in_order():
            trainer, settings = self.of.trainer(model), self.of.model_settings(model)
            dimensions = [d for key in trainer.dimensions for d in named_models(settings.get(key))]
            for seed in self.of.model_seeds(model):
                spec = {
                    "base": self._base(),
                    "model": self.of.config.models[model].trainer,
                    "settings": self.of.whole_model_settings(model),
                    "seed": seed,
                    "packages": {name: version(name) for name in trainer.needs},
                    "code": code(*trainer.code),
                }
                reads = [self.of.place.pairs(d) for d in dimensions] + self._folders(
                    self.of.parts_of(model), seed
                )
                writes = [self.of.place.model(model, seed), self.of.place.training(model, seed)]
                yield Unit(f"train-{model}-{seed}", spec, reads, writes)

    def tuning(self) -> Iterator[Unit]:
        place, config = self.of.place, self.of.config
        tuned = [row for row in config.methods if self.of.candidates(row)]
        if not tuned:
            return
        common: dict[str, Any] = {"base": self._base(), "sampling": config.sampling.model_dump(mode="json")}
        spec = common | {"code": code(*ANSWERING)}
        yield Unit("validation-base", spec, [place.prompts.parent], [place.base_on_validation])
        dimension, judges = next(iter(config.judges.items()))
        for row in tuned:
            spec = common | {
                "method": config.methods[row].method,
                "candidates": [self.of.shown_settings(row, tried) for tried in self.of.candidates(row)],
                "tuning": config.tuning.model_dump(mode="json"),
                "judge": [dimension, judges.gold.model_dump(mode="json")],
                "code": code(*self._code(row), *JUDGING, "experiments/tune.py"),
            }
            seed = config.seeds[0]
            reads = [place.prompts.parent, place.base_on_validation]
            yield Unit(
                f"tune-{row}",
                spec,
                reads + self._folders(self.of.models_of(row), seed),
                [place.tuned(row)],
            )

    def answers(self) -> Iterator[Unit]:
        place, config = self.of.place, self.of.config
        for row, own in config.methods.items():
            for seed in self.of.seeds(row):
                spec = {
                    "base": self._base(),
                    "sampling": config.sampling.model_dump(mode="json"),
                    "method": own.method,
                    "settings": self.of.shown_settings(row),
                    "front": {key: list(values) for key, values in own.front.items()},
                    "prompts": own.prompts,
                    "code": code(*self._code(row)),
                }
                reads = [place.prompts.parent, *self._folders(self.of.models_of(row), seed)]
                if own.tune:
                    reads.append(place.tuned(row))
                yield Unit(
                    f"answer-{row}-{seed}", spec, reads, [place.answers(row, seed), place.cost(row, seed)]
                )

    def judgements(self) -> Iterator[Unit]:
        place, config = self.of.place, self.of.config
        for row in config.methods:
            others = [other for other in config.over if other != row]
            spec = {
                "judges": {d: j.model_dump(mode="json") for d, j in config.judges.items()},
                "over": others,
                "code": code(*JUDGING),
            }
            reads = [place.prompts.parent]
            reads += [place.answers(r, seed) for r in (row, *others) for seed in self.of.seeds(r)]
            yield Unit(f"judge-{row}", spec, reads, [place.verdicts(row)])

    def speeds(self) -> Iterator[Unit]:
        config, place = self.of.config, self.of.place
        for row, own in config.methods.items():
            if (speed := own.speed or config.speed) is None:
                continue
            spec = {
                "base": self._base(),
                "method": own.method,
                "settings": self.of.shown_settings(row),
                "speed": speed.model_dump(mode="json"),
                "code": code(*self._code(row), "experiments/speed.py"),
            }
            seed = config.seeds[0]
            reads = [place.prompts.parent, *self._folders(self.of.models_of(row), seed)]
            if own.tune:
                reads.append(place.tuned(row))
            yield Unit(f"speed-{row}", spec, reads, [place.speed(row)])

    def table(self) -> Unit:
        place, config = self.of.place, self.of.config
        reads = [place.prompts.parent, *(place.pairs(d) for d in config.data)]
        for row, own in config.methods.items():
            reads.append(place.verdicts(row))
            reads += [path(row, seed) for seed in self.of.seeds(row) for path in (place.answers, place.cost)]
            reads += [place.tuned(row)] if own.tune else []
            reads += [place.speed(row)] if own.speed or config.speed else []
            reads += [
                place.training(model, seed)
                for model in self.of.all_models(row)
                if self.of.is_made(model)
                for seed in self.of.model_seeds(model)
            ]
        spec = {
            "experiment": config.model_dump(mode="json"),
            "code": code(*MEASURING, "report/templates", "report/svg.py", "experiments/templates"),
        }
        return Unit("table", spec, list(dict.fromkeys(reads)), [place.results], cached=False)

    def _base(self) -> dict[str, Any]:
        """The base by its content, wherever it lies, and how it is read."""
        return {**self.of.base_content, "dtype": self.of.base_config.dtype}

    def _code(self, row: str) -> tuple[str, ...]:
        return (*ANSWERING, *METHODS[self.of.config.methods[row].method].code)

    def _folders(self, models: list[str], seed: int) -> list[Path]:
        """The folders of some models: those that are trained here with this seed, others as they are."""
        return [model_folder(self.of, model, seed) for model in models]

    def _in_order(self) -> list[str]:
        """The models that are trained, after those that they are made of; only what some row needs."""
        order: list[str] = []

        def add(model: str) -> None:
            for part in self.of.parts_of(model):
                add(part)
            if model not in order and self.of.is_made(model):
                order.append(model)

        for row in self.of.config.methods:
            for model in self.of.models_of(row):
                add(model)
        return order


def model_folder(experiment: Experiment, model: str, seed: int) -> Path:
    """Where a model lies: trained here with a seed, or the folder that the experiment names."""
    if experiment.is_made(model):
        seeds = experiment.model_seeds(model)
        return experiment.place.model(model, seed if seed in seeds else seeds[0])
    return experiment.place.root / str(experiment.model_settings(model)["path"])
