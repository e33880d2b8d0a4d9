"""`experiments/<name>/experiment.yaml`, typed: what is compared, on what, and what is claimed of it."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from genarm.config import BaseConfig, JudgeConfig, PairsConfig, SamplingConfig, Section, SourceConfig
from genarm.config.params import DimensionName
from genarm.experiments.claims_config import ClaimsConfig
from genarm.experiments.distinct import once

RowName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,39}$")]
Setting = float | str | bool | None
Values = Annotated[tuple[Any, ...], Field(min_length=1)]  # of one setting
MOST_TUNED = 4  # settings that any method may try: every method has the same budget
GOLD, HELD_OUT = "gold", "held_out"
BASE = "base"  # the row of the base alone, which all others are measured from


class DataConfig(SourceConfig):
    """The preference pairs of one dimension; the text `project` alone takes those of `params.yaml`."""

    folder: str = Field("data", description="the folder that `files` is a glob below; data/ by default")
    relabel: JudgeConfig | None = Field(
        None, description="a scorer that says anew which response is the chosen one, whatever the file says"
    )

    @field_validator("relabel", mode="before")
    @classmethod
    def _a_scorer_alone(cls, value: Any) -> Any:
        return {"scorer": value} if isinstance(value, str) else value


class PromptsConfig(Section):
    """What every method answers."""

    file: str | None = Field(
        None, description="JSON Lines file of prompts; null: the evaluation split of the pairs"
    )
    n: int = Field(437, ge=2, description="at most so many; 437 is what equivalence within 0.07 needs")


class JudgesConfig(Section):
    """Who rates the responses on one dimension."""

    gold: JudgeConfig = Field(description="whose verdict counts: a scorer, or a judge of any kind")
    held_out: JudgeConfig | None = Field(
        None, description="a second judge, which took no part in labels, training or tuning"
    )

    @field_validator("gold", "held_out", mode="before")
    @classmethod
    def _a_text_alone(cls, value: Any) -> Any:
        return {"scorer": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _held_out_is_another(self) -> "JudgesConfig":
        if self.held_out and self.gold.model_copy(update={"tie": self.held_out.tie}) == self.held_out:
            raise ValueError(
                f"held_out is the gold judge itself, {self.gold.name}, which would confirm everything twice; "
                "name another judge, or none"
            )
        return self


class TuningConfig(Section):
    """How settings are chosen: by the gold judge's win rate over the base on validation prompts."""

    prompts: int = Field(48, ge=2, description="at most so many validation prompts")
    max_health_ratio: float = Field(
        1.2, ge=1, description="most perplexity and repetition of a setting, in times those of the base"
    )
    max_kl: float | None = Field(
        None, gt=0, description="most KL from the base, in nats a token, except with `mode: greedy`"
    )


class SpeedConfig(Section):
    """How the time of a response is measured, in a unit of its own."""

    tokens: int = Field(
        128,
        ge=2,
        description="tokens of the longer of two lengths that are timed; the other one is a quarter of it",
    )
    repeats: int = Field(3, ge=1, description="times that both are timed, in turn with the base")
    batches: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        (1, 32), min_length=1, description="requests that are answered together"
    )

    @field_validator("batches")
    @classmethod
    def _each_batch_once(cls, batches: tuple[int, ...]) -> tuple[int, ...]:
        return once("a batch", batches)


class ConstraintConfig(Section):
    """The least weight or share of one dimension's part at which that dimension reaches a threshold.

    A value meets it where a lower bound, on validation prompts, is at least the threshold.
    """

    dimension: DimensionName = Field(description="what must reach the threshold; the part of it is varied")
    at_least: float = Field(description="the threshold: a win rate over the base, or a score")
    measure: Literal["win_rate", "score"] = Field(
        "win_rate", description="by the gold judge: the win rate over the base, or the judge's mean score"
    )
    weight: tuple[Annotated[float, Field(ge=0)], ...] | None = Field(
        None, description="weights of the dimension's ARM to try, at most 4"
    )
    share: tuple[Annotated[float, Field(ge=0, le=1)], ...] | None = Field(
        None, description="shares of the dimension to try, at most 4"
    )
    confidence: float = Field(
        0.95,
        gt=0.5,
        lt=1,
        description="chance that what is taken meets the threshold, whatever is tried",
    )
    against: str = Field("base", description="the row from which the cost on other dimensions is measured")

    @model_validator(mode="after")
    def _one_list_of_values(self) -> "ConstraintConfig":
        if (self.weight is None) == (self.share is None):
            raise ValueError("constrain tries either weights or shares: name one of weight and share")
        values = self.values
        if not 1 <= len(values) <= MOST_TUNED:
            raise ValueError(f"constrain tries {len(values)} values; every method may try 1 to {MOST_TUNED}")
        if len(set(values)) < len(values):
            raise ValueError(f"a value stands twice in {list(values)}")
        if self.measure == "win_rate" and not 0 < self.at_least < 1:
            raise ValueError(f"at_least is {self.at_least:g}, and a win rate lies between 0 and 1")
        return self

    @property
    def varied(self) -> Literal["weight", "share"]:
        """The setting whose values are tried."""
        return "share" if self.weight is None else "weight"

    @property
    def values(self) -> tuple[float, ...]:
        """What is tried, ascending."""
        return tuple(sorted((self.share if self.weight is None else self.weight) or ()))


class RowConfig(Section):
    """One row of the table: a method with its settings, which lie beside these keys."""

    method: str = Field(description="what answers: a name of `genarm compare --methods`")
    tune: dict[str, Values] = Field(
        {}, description="settings to choose on validation prompts, at most 4 combinations"
    )
    front: dict[str, Values] = Field(
        {}, description="one setting and its values: the points of a front, which are all answered"
    )
    constrain: ConstraintConfig | None = Field(
        None, description="take the least weight or share at which a dimension reaches a threshold"
    )
    prompts: int | None = Field(None, ge=2, description="answer only the first so many, where it is slow")
    tune_prompts: int | None = Field(
        None, ge=2, description="tune on only the first so many validation prompts, where it is slow"
    )
    seeds: Literal["all", "first"] = Field(
        "all", description="answer with the models of each training seed, or of the first one only"
    )
    speed: SpeedConfig | None = Field(None, description="how its time is measured, in place of `speed`")
    settings: dict[str, Any] = Field({}, description="the settings of its method")

    @model_validator(mode="before")
    @classmethod
    def _other_keys_are_settings(cls, value: Any) -> Any:
        return _gathered(value, {*cls.model_fields})

    @model_validator(mode="after")
    def _the_budget_is_equal(self) -> "RowConfig":
        tried = 1
        for values in self.tune.values():
            tried *= len(values)
        if tried > MOST_TUNED:
            raise ValueError(f"tune tries {tried} settings; every method may try at most {MOST_TUNED}")
        if len(self.front) > 1:
            raise ValueError(f"front varies one setting, here are {len(self.front)}")
        if self.constrain and (self.tune or self.front):
            raise ValueError("a row with constrain has neither tune nor front: it has one setting, the least")
        return self

    @model_validator(mode="after")
    def _each_setting_is_givenonce(self) -> "RowConfig":
        for key in {**self.tune, **self.front}:
            places = [name for name in ("settings", "tune", "front") if key in getattr(self, name)]
            if len(places) > 1:
                named = " and in ".join("the row itself" if p == "settings" else p for p in places)
                raise ValueError(f"{key} stands in {named}; keep one of them, the others would not count")
        for key, values in {**self.tune, **self.front}.items():
            once(f"the {key}", values)
        return self


class ModelConfig(Section):
    """One model that methods are made of, with its settings, which lie beside `trainer`."""

    trainer: str = Field(description="what makes it: a name of `genarm compare --methods`")
    seeds: Literal["all", "first"] = Field(
        "all", description="train it with each seed, or with the first one only, for all that use it"
    )
    settings: dict[str, Any] = Field({}, description="the settings of its trainer")

    @model_validator(mode="before")
    @classmethod
    def _other_keys_are_settings(cls, value: Any) -> Any:
        return _gathered(value, {*cls.model_fields})


class ExperimentConfig(Section):
    """The whole of an `experiment.yaml`."""

    title: str = Field("", description="what the experiment asks, in a line; stands above its table")
    base: BaseConfig | None = Field(None, description="the model that is guided; null: that of params.yaml")
    pairs: PairsConfig | None = Field(None, description="how pairs are split; null: as params.yaml says")
    data: dict[DimensionName, DataConfig | Literal["project"]] = Field(
        min_length=1, description="the pairs of each dimension, which all learned models see alone"
    )
    prompts: PromptsConfig = Field(PromptsConfig(), description="what every method answers")
    sampling: SamplingConfig = Field(
        SamplingConfig(top_p=1.0, max_new_tokens=64), description="how every method draws its responses"
    )
    judges: dict[DimensionName, JudgesConfig] = Field(
        min_length=1, description="who rates on each dimension; the first one is that of the win rates"
    )
    tuning: TuningConfig = Field(TuningConfig(), description="how settings are chosen")
    speed: SpeedConfig | None = Field(SpeedConfig(), description="how time is measured; null: not at all")
    models: dict[RowName, ModelConfig] = Field({}, description="the models that methods are made of, by name")
    methods: dict[RowName, RowConfig] = Field(min_length=1, description="the rows of the table, by name")
    seeds: tuple[Annotated[int, Field(ge=0)], ...] = Field(
        (0, 1, 2), min_length=1, description="of training; each model is trained once with each"
    )
    over: tuple[str, ...] = Field(("base",), min_length=1, description="the rows that win rates are over")
    alpha: float = Field(
        0.05,
        gt=0,
        lt=0.5,
        description=(
            "chance that any of `beats` is confirmed though it is false, by Holm over them, and that "
            "`equivalent` is; the other claims are by 95% intervals"
        ),
    )
    claims: ClaimsConfig | None = Field(None, description="what is to be confirmed or refuted")
    reference_point: float = Field(
        -1.0, description="of the hypervolume on every dimension, in standard deviations of the base's scores"
    )

    @field_validator("data", mode="before")
    @classmethod
    def _a_text_alone(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        return {
            name: {"files": entry} if isinstance(entry, str) and entry != "project" else entry
            for name, entry in value.items()
        }

    @field_validator("judges")
    @classmethod
    def _judges_know_their_dimension(cls, judges: dict[str, JudgesConfig]) -> dict[str, JudgesConfig]:
        return {
            name: JudgesConfig(gold=j.gold.on(name), held_out=j.held_out and j.held_out.on(name))
            for name, j in judges.items()
        }

    @field_validator("seeds")
    @classmethod
    def _each_seed_once(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) < len(seeds):
            raise ValueError(f"a seed stands twice in {list(seeds)}, which would count as two trainings")
        return seeds

    @field_validator("over")
    @classmethod
    def _each_row_once(cls, rows: tuple[str, ...]) -> tuple[str, ...]:
        return once("the row", rows)

    def speed_of(self, row: str) -> SpeedConfig | None:
        """How the time of a row is measured, the base's at every batch of any row; None: not at all."""
        given = self.methods[row].speed or self.speed
        if given is None or row != BASE:
            return given
        others = [own.speed.batches for own in self.methods.values() if own.speed]
        return given.model_copy(update={"batches": tuple(sorted({*given.batches}.union(*others)))})


def _gathered(value: Any, known: set[str]) -> Any:
    """The keys that are not `known` moved into `settings`."""
    if not isinstance(value, Mapping) or "settings" in value:
        return value
    kept = {key: entry for key, entry in value.items() if key in known}
    return kept | {"settings": {key: entry for key, entry in value.items() if key not in known}}
