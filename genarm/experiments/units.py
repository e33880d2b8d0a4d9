"""The units of work of an experiment: what each one depends on, and what it writes.

A unit is a stage of DVC. Its `spec` holds all that it depends on besides files: the settings that concern it
and a hash of the code that it runs. So a change runs again what it concerns, and a row more no other row.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from genarm.config import JudgeConfig
from genarm.experiments import unit_code
from genarm.experiments.config import GOLD, HELD_OUT
from genarm.experiments.judge_content import judge_content
from genarm.experiments.load import Experiment
from genarm.experiments.methods import METHODS, named_models
from genarm.pipeline.kept import code


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
    judges: dict[str, dict[str, Any]] = field(default_factory=dict)

    def pairs(self) -> Iterator[Unit]:
        for dimension in self.of.config.data:
            data = self.of.data(dimension)
            spec = {
                "data": data.model_dump(mode="json"),
                "pairs": self.of.pairs_config.model_dump(mode="json"),
                "base": self.of.base_content,
                "judge": data.relabel and self._judge(data.relabel),
                "code": code(*unit_code.PAIRS, *(unit_code.JUDGES if data.relabel else ())),
            }
            folder = self.of.place.root / data.folder
            yield Unit(f"pairs-{dimension}", spec, [folder], [self.of.place.pairs(dimension)])

    def prompts(self) -> Unit:
        place, config = self.of.place, self.of.config
        spec = {
            "prompts": config.prompts.model_dump(mode="json"),
            "tuning": config.tuning.prompts,
            "code": code(*unit_code.PROMPTS),
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
                place = self.of.place
                writes = [path(model, seed) for path in (place.model, place.training, place.curves)]
                yield Unit(f"train-{model}-{seed}", spec, reads, writes)

    def tuning(self) -> Iterator[Unit]:
        place, config = self.of.place, self.of.config
        tuned = [row for row in config.methods if self.of.candidates(row)]
        if not tuned:
            return
        common: dict[str, Any] = {"base": self._base(), "sampling": config.sampling.model_dump(mode="json")}
        spec = common | {"code": code(*unit_code.ANSWERING)}
        yield Unit("validation-base", spec, [place.prompts.parent], [place.base_on_validation])
        for row in tuned:
            constraint = config.methods[row].constrain
            dimension = constraint.dimension if constraint else next(iter(config.judges))
            limited = {"constrain": constraint.model_dump(mode="json")} if constraint else {}
            spec = common | {
                "method": config.methods[row].method,
                "candidates": [self.of.shown_settings(row, tried) for tried in self.of.candidates(row)],
                "tuning": config.tuning.model_dump(mode="json"),
                "prompts": config.methods[row].tune_prompts,
                "judge": [dimension, self._judge(config.judges[dimension].gold)],
                "judges": self._choosing(row),
                "code": code(*unit_code.TUNING, *self._code(row)),
                **limited,
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
                    "judges": self._choosing(row),
                    "code": code(*unit_code.ANSWERING, *self._code(row)),
                }
                reads = [place.prompts.parent, *self._folders(self.of.models_of(row), seed)]
                if self.of.is_tuned(row):
                    reads.append(place.tuned(row))
                yield Unit(
                    f"answer-{row}-{seed}", spec, reads, [place.answers(row, seed), place.cost(row, seed)]
                )

    def judgements(self) -> Iterator[Unit]:
        place, config = self.of.place, self.of.config
        for row in config.methods:
            others = [other for other in config.over if other != row]
            spec = {
                "judges": {
                    dimension: {
                        GOLD: self._judge(judges.gold),
                        HELD_OUT: judges.held_out and self._judge(judges.held_out),
                    }
                    for dimension, judges in config.judges.items()
                },
                "over": others,
                "code": code(*unit_code.JUDGING),
            }
            reads = [place.prompts.parent]
            reads += [place.answers(r, seed) for r in (row, *others) for seed in self.of.seeds(r)]
            yield Unit(f"judge-{row}", spec, reads, [place.verdicts(row)])

    def speeds(self) -> Iterator[Unit]:
        config, place = self.of.config, self.of.place
        for row, own in config.methods.items():
            if (speed := config.speed_of(row)) is None:
                continue
            spec = {
                "base": self._base(),
                "method": own.method,
                "settings": self.of.shown_settings(row),
                "speed": speed.model_dump(mode="json"),
                "predicted": self._predicted(row),
                "judges": self._choosing(row),
                "code": code(*unit_code.SPEED, *self._code(row)),
            }
            seed = config.seeds[0]
            reads = [place.prompts.parent, *self._folders(self.of.models_of(row), seed)]
            if self.of.is_tuned(row):
                reads.append(place.tuned(row))
            yield Unit(f"speed-{row}", spec, reads, [place.speed(row)])

    def table(self) -> Unit:
        place, config = self.of.place, self.of.config
        reads = [place.prompts.parent, *(place.pairs(d) for d in config.data)]
        for row, own in config.methods.items():
            reads.append(place.verdicts(row))
            reads += [path(row, seed) for seed in self.of.seeds(row) for path in (place.answers, place.cost)]
            reads += [place.tuned(row)] if self.of.is_tuned(row) else []
            reads += [place.speed(row)] if own.speed or config.speed else []
            reads += self._closing(row)
            reads += [
                place.training(model, seed)
                for model in self.of.all_models(row)
                if self.of.is_made(model)
                for seed in self.of.model_seeds(model)
            ]
        spec = {
            "experiment": config.model_dump(mode="json", exclude={"base"}),
            "base": self.of.base_name,
            "packages": {name: version(name) for name in self._front_packages()},
            "code": code(*unit_code.TABLE),
        }
        return Unit("table", spec, list(dict.fromkeys(reads)), [place.results], cached=False)

    def _base(self) -> dict[str, Any]:
        """The base by its content, wherever it lies, and how it is read."""
        return {**self.of.base_content, "dtype": self.of.base_config.dtype}

    def _code(self, row: str) -> tuple[str, ...]:
        return METHODS[self.of.config.methods[row].method].code

    def _judge(self, config: JudgeConfig) -> dict[str, Any]:
        """What a judge's verdicts depend on; each judge is loaded once."""
        known = config.model_dump_json()
        if known not in self.judges:
            self.judges[known] = judge_content(config, self.of.place.root)
        return self.judges[known]

    def _choosing(self, row: str) -> list[dict[str, Any]]:
        """The judges that a method asks while it answers, over all that is tuned and all points."""
        own = self.of.config.methods[row]
        keys = self.of.method(row).judges
        given = [own.settings.get(key) for key in keys]
        given += [value for key in keys for value in (*own.listed.get(key, ()), *own.front.get(key, ()))]
        return [self._judge(JudgeConfig.model_validate(value)) for value in given if value is not None]

    def _predicted(self, row: str) -> list[dict[str, float]]:
        """What each part reads by definition, with all settings that may be timed."""
        tried = self.of.candidates(row) or [{}]
        predicted = self.of.method(row).predicted
        shown = [self.of.shown_settings(row, varied) for varied in tried]
        return [dict(predicted({**s, "closing": int(bool(s.get("close_turn")))})) for s in shown]

    def _closing(self, row: str) -> list[Path]:
        """The reward models whose tokenizer says how many tokens close a turn, of all that may be shown."""
        shown = [self.of.shown_settings(row, varied) for varied in self.of.candidates(row) or [{}]]
        closed = [settings["reward"] for settings in shown if settings.get("close_turn")]
        return self._folders(closed, self.of.config.seeds[0])

    def _front_packages(self) -> list[str]:
        fronts = any(own.front for own in self.of.config.methods.values())
        return [name for name in ("moocore",) if fronts and find_spec(name)]

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
