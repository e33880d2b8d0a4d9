"""Reading an `experiment.yaml`: what cannot work is one ConfigError, before anything is run."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from itertools import product
from typing import Any

from pydantic import ValidationError

from genarm.config import BaseConfig, PairsConfig, nearest
from genarm.config.explain import explain
from genarm.config.load import read_yaml
from genarm.errors import ConfigError
from genarm.experiments.config import DataConfig, ExperimentConfig
from genarm.experiments.constraint import cannot_be_constrained, constrained_settings
from genarm.experiments.methods import METHODS, MethodKind, named_models
from genarm.experiments.own_files import check_own_files
from genarm.experiments.place import Place
from genarm.experiments.trainers import TRAINERS, TrainerKind
from genarm.models import ModelSource, model_kind, resolve
from genarm.models.source import SMALL_FILES
from genarm.pipeline.project import Project
from genarm.system.files import sha256

EXTRA = {"trl": "baselines", "moocore": "baselines"}  # package -> the extra that has it


@dataclass(frozen=True)
class Experiment:
    """An experiment that was read and makes sense; `settings` are whole, with every default filled in."""

    place: Place
    config: ExperimentConfig
    project: Project

    @cached_property
    def base_config(self) -> BaseConfig:
        """The base of the experiment, by default that of the project."""
        return self.config.base or self.project.params.base

    @cached_property
    def base(self) -> ModelSource:
        """The model that is guided. Raises ModelError where it cannot be found."""
        given = self.base_config
        return resolve(given.model, given.revision, given.chat_template)

    @cached_property
    def base_content(self) -> dict[str, str | None]:
        """What tells the base from others, wherever it lies: weights, what describes them, template."""
        base = self.base
        files = sorted({file for pattern in SMALL_FILES for file in base.path.glob(pattern)})
        described = "".join(f"{file.name}:{sha256(file)}\n" for file in files)
        return {
            "weights": base.weights_sha256,
            "files": hashlib.sha256(described.encode()).hexdigest(),
            "chat_template": base.chat_template,
        }

    @property
    def base_name(self) -> str:
        """What the base is called where others read it: a hub id, else its folder or file and its hash."""
        given = self.base_config.model
        if model_kind(given) not in ("folder", "gguf"):
            return given
        return f"{self.place.shown(given)}, weights sha256 {self.base.weights_sha256[:12]}"

    @property
    def pairs_config(self) -> PairsConfig:
        """How pairs are split."""
        return self.config.pairs or self.project.params.pairs

    def data(self, dimension: str) -> DataConfig:
        """Where the pairs of a dimension are."""
        given = self.config.data[dimension]
        if isinstance(given, DataConfig):
            return given
        return DataConfig(**self.project.params.dimensions[dimension].data.model_dump(exclude={"from_"}))

    def method(self, row: str) -> MethodKind:
        """The kind of a row."""
        return METHODS[self.config.methods[row].method]

    def trainer(self, model: str) -> TrainerKind:
        """The kind of a model."""
        return TRAINERS[self.config.models[model].trainer]

    def row_settings(self, row: str, changed: Mapping[str, Any]) -> dict[str, Any]:
        """The settings of a row, with all defaults and these changes."""
        given = self.config.methods[row].settings | dict(changed)
        return self.method(row).settings(**given).model_dump(mode="json")

    def model_settings(self, model: str) -> dict[str, Any]:
        """The settings of a model; those of training as they were written."""
        given = self.config.models[model].settings
        return self.trainer(model).settings(**given).model_dump(mode="json", exclude_unset=True)

    def whole_model_settings(self, model: str) -> dict[str, Any]:
        """The same with the defaults of what was not written, but for those that are null."""
        section = self.trainer(model).settings(**self.config.models[model].settings)
        return section.model_dump(mode="json", exclude_none=True) | self.model_settings(model)

    def models_of(self, row: str) -> list[str]:
        """The models that a row is made of, over all points of its front and all that is tuned."""
        own, keys = self.config.methods[row], self.method(row).models
        varied = [value for name in keys for value in (own.front.get(name) or own.tune.get(name) or ())]
        settings = self.shown_settings(row)
        return list(dict.fromkeys(named_models([settings.get(key) for key in keys]) + named_models(varied)))

    def parts_of(self, model: str) -> list[str]:
        """The models that a model is made of."""
        settings = self.model_settings(model)
        return list(dict.fromkeys(named_models([settings.get(key) for key in self.trainer(model).models])))

    def all_models(self, row: str) -> list[str]:
        """The models of a row and those that they are made of."""
        found: list[str] = []
        waiting = self.models_of(row)
        while waiting:
            model = waiting.pop(0)
            if model not in found:
                found.append(model)
                waiting += self.parts_of(model)
        return found

    def is_made(self, model: str) -> bool:
        """Whether a model is trained here, once for each seed."""
        return self.trainer(model).made

    def model_seeds(self, model: str) -> tuple[int, ...]:
        """The seeds that a model is trained with."""
        return self.config.seeds if self.config.models[model].seeds == "all" else self.config.seeds[:1]

    def seeds(self, row: str) -> tuple[int, ...]:
        """The training seeds of a row; the first alone where nothing in it is trained with each."""
        several = self.config.methods[row].seeds == "all" and any(
            self._differs(m) for m in self.models_of(row)
        )
        return self.config.seeds if several else self.config.seeds[:1]

    def _differs(self, model: str) -> bool:
        """Whether there is a model for each seed: it, or what it is made of at once, is trained with each."""
        if self.is_made(model):
            return len(self.model_seeds(model)) > 1
        return any(self._differs(part) for part in self.parts_of(model))

    def points(self, row: str) -> list[dict[str, Any]]:
        """The settings that a front varies, by point; one without changes where there is no front."""
        return combinations(self.config.methods[row].front) or [{}]

    def shown_point(self, row: str) -> int:
        """The point of a front that stands in the table, is tuned and timed: the middle one."""
        return len(self.points(row)) // 2

    def shown_settings(self, row: str, chosen: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The settings of a row at that point, with what tuning chose; else the first that it may try."""
        tried = (self.candidates(row) or [{}])[0] if chosen is None else chosen
        return self.row_settings(row, dict(tried) | self.points(row)[self.shown_point(row)])

    def candidates(self, row: str) -> list[dict[str, Any]]:
        """The settings that are tried on validation prompts; none where nothing is tuned."""
        own = self.config.methods[row]
        return constrained_settings(own) if own.constrain else combinations(own.tune)

    def is_tuned(self, row: str) -> bool:
        """Whether settings of a row are chosen on validation prompts."""
        return bool(self.candidates(row))


def combinations(varied: Mapping[str, tuple[Any, ...]]) -> list[dict[str, Any]]:
    """Every combination of the values of some settings; none where nothing varies."""
    return [dict(zip(varied, values, strict=True)) for values in product(*varied.values())] if varied else []


def load_experiment(project: Project, place: Place) -> Experiment:
    """The experiment of a folder. Raises ConfigError naming file, key and the nearest that is known."""
    where = place.relative(place.file)
    values = read_yaml(place.file)
    if not isinstance(values, Mapping):
        raise ConfigError(f"{where} holds no experiment", hint="docs/experiments.md says how to write one")
    try:
        config = ExperimentConfig.model_validate(values)
    except ValidationError as error:
        raise _refused(where, explain(error, ExperimentConfig)) from None
    experiment = Experiment(place, config, project)
    _check_kinds(experiment, where)
    _check_names(experiment, where)
    check_own_files(config, place)
    return experiment


def _refused(where: str, what: str) -> ConfigError:
    return ConfigError(
        f"{where}: {what}", hint="every key: docs/experiments.md; methods: genarm compare --methods"
    )


def _check_kinds(experiment: Experiment, where: str) -> None:
    """Methods and trainers that are known and installed, with settings that they take."""
    config = experiment.config
    for name, row in config.methods.items():
        _known(where, f"methods.{name}: unknown method", row.method, METHODS)
        kind = METHODS[row.method]
        if wrong := cannot_be_constrained(row, config):
            raise _refused(where, f"methods.{name}.constrain: {wrong}")
        for tried, point in product(experiment.candidates(name) or [{}], experiment.points(name)):
            _valid(where, f"methods.{name}", kind.settings, row.settings | tried | point)
        _installed(where, f"methods.{name}", row.method, kind.needs)
    for name, model in config.models.items():
        _known(where, f"models.{name}: unknown trainer", model.trainer, TRAINERS)
        trainer = TRAINERS[model.trainer]
        _valid(where, f"models.{name}", trainer.settings, model.settings)
        _installed(where, f"models.{name}", model.trainer, trainer.needs)


def _check_names(experiment: Experiment, where: str) -> None:
    """Every name of a model, row or dimension stands for one that is there."""
    config = experiment.config
    for name in config.methods:
        for model in experiment.models_of(name):
            _known(where, f"methods.{name}: unknown model", model, config.models)
    for name in config.models:
        for model in experiment.parts_of(name):
            _known(where, f"models.{name}: unknown model", model, config.models)
        settings = experiment.model_settings(name)
        for key in experiment.trainer(name).dimensions:
            for dimension in named_models(settings.get(key)):
                _known(where, f"models.{name}: unknown dimension", dimension, config.data)
    for dimension, data in config.data.items():
        if data == "project":
            _known(
                where,
                "data: unknown dimension of the project",
                dimension,
                experiment.project.params.dimensions,
            )
    if "base" not in config.methods or config.methods["base"].method != "base":
        raise _refused(where, "methods has no row `base: {method: base}`, which all others are measured from")
    for row in config.over:
        _known(where, "over: unknown row", row, config.methods)
        if config.methods[row].constrain:
            raise _refused(where, f"over: {row} has constrain, and answers nothing where nothing meets it")
    _check_claims(experiment, where)


def _check_claims(experiment: Experiment, where: str) -> None:
    config = experiment.config
    if (claims := config.claims) is None:
        return
    _known(where, "claims.subject: unknown row", claims.subject, config.methods)
    if claims.equivalent and claims.equivalent.to not in config.methods:
        raise _refused(
            where,
            f"claims.equivalent is to the row {claims.equivalent.to!r}"
            f"{nearest(claims.equivalent.to, config.methods)}, which is not among the methods: "
            "equivalence needs the row that it is to, such as `dpo: {method: adapter, adapter: dpo}`",
        )
    gap = claims.recovers
    named = [*claims.beats, *claims.faster, *claims.front_over]
    named += [row for row in (gap.floor, gap.ceiling, gap.control) if row] if gap else []
    for row in named:
        _known(where, "claims: unknown row", row, config.methods)
    for row in claims.front_over and (claims.subject, *claims.front_over):
        if not config.methods[row].front:
            raise _refused(where, f"claims.front_over compares fronts, and methods.{row} has no `front`")
        if len(config.judges) != 2:
            raise _refused(where, f"a front is of two dimensions, and judges has {len(config.judges)}")
    if claims.front_over:
        _installed(where, "claims.front_over", "hypervolume", ("moocore",))


def _known(where: str, what: str, name: str, known: Iterable[str]) -> None:
    known = list(known)
    if name not in known:
        raise _refused(where, f"{what} {name!r}{nearest(name, known)}; known: {', '.join(known) or 'none'}")


def _valid(where: str, key: str, settings: Any, given: Mapping[str, Any]) -> None:
    try:
        settings.model_validate(given)
    except ValidationError as error:
        raise _refused(where, f"{key}: {explain(error, settings)}") from None


def _installed(where: str, key: str, kind: str, needs: tuple[str, ...]) -> None:
    if lacking := next((package for package in needs if find_spec(package) is None), None):
        raise ConfigError(
            f"{where}: {key}: {kind} needs {lacking}, which is not installed",
            hint=f"pip install 'genarm[{EXTRA.get(lacking, 'baselines')}]'",
        )
