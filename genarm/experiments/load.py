"""An experiment that was read: its settings whole, its models, rows, seeds and points by name."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any

from genarm.config import BaseConfig, PairsConfig
from genarm.experiments.config import DataConfig, ExperimentConfig
from genarm.experiments.constraint import constrained_settings
from genarm.experiments.methods import METHODS, MethodKind, named_models
from genarm.experiments.place import Place
from genarm.experiments.trainers import TRAINERS, TrainerKind
from genarm.models import ModelSource, model_kind, resolve
from genarm.models.source import SMALL_FILES
from genarm.pipeline.project import Project
from genarm.system.files import sha256


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
        varied = [value for name in keys for value in (own.front.get(name) or own.listed.get(name) or ())]
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
        """The settings that are tried on validation prompts, of a range its ends; none of an untuned row."""
        own = self.config.methods[row]
        if own.constrain:
            return constrained_settings(own)
        if own.searched:
            setting, within = own.searched
            return [{setting: within.from_}, {setting: within.to}]
        return combinations(own.listed)

    def tries(self, row: str) -> int:
        """How many settings may be tried for a row, at most."""
        own = self.config.methods[row]
        return self.config.tuning.tries if own.searched else len(self.candidates(row))

    def is_tuned(self, row: str) -> bool:
        """Whether settings of a row are chosen on validation prompts."""
        return bool(self.candidates(row))


def combinations(varied: Mapping[str, tuple[Any, ...]]) -> list[dict[str, Any]]:
    """Every combination of the values of some settings; none where nothing varies."""
    return [dict(zip(varied, values, strict=True)) for values in product(*varied.values())] if varied else []
