"""`experiments/<name>/experiment.yaml`, typed: what is compared, on what, and what is claimed of it."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from genarm.config import BaseConfig, JudgeConfig, PairsConfig, SamplingConfig, Section, SourceConfig
from genarm.config.params import DimensionName
from genarm.experiments.claims_config import ClaimsConfig
from genarm.experiments.distinct import once
from genarm.experiments.row_config import RowConfig, SpeedConfig, gathered

RowName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,39}$")]
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
    """How settings are chosen on validation prompts.

    Of a list, the one with the highest win rate over the base by the gold judge; of a range, the one whose KL
    from the base is nearest to `kl`.
    """

    prompts: int = Field(48, ge=2, description="at most so many validation prompts")
    tries: int = Field(4, ge=1, description="settings that any row may try: all have the same budget")
    max_health_ratio: float = Field(
        1.2, ge=1, description="most perplexity and repetition of a setting, in times those of the base"
    )
    kl: float | None = Field(
        None,
        gt=0,
        description=(
            "the KL from the base at which rows are compared, in nats a token: a range is searched for it, "
            "and of a list nothing beyond it is taken, except with `mode: greedy`"
        ),
    )
    tolerance: float = Field(
        0.05, gt=0, lt=1, description="how far from `kl` a row may stand, as a share of it, to count as there"
    )

    @property
    def furthest(self) -> float | None:
        """The most KL that settings of a list may have, in nats a token; None where there is no limit."""
        return None if self.kl is None else self.kl * (1 + self.tolerance)


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
        return gathered(value, {*cls.model_fields})


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

    @model_validator(mode="after")
    def _the_budget_is_equal(self) -> "ExperimentConfig":
        for name, row in self.methods.items():
            if row.combinations > self.tuning.tries:
                what = "constrain tries {} values" if row.constrain else "tune tries {} settings"
                raise ValueError(
                    f"methods.{name}: {what.format(row.combinations)}; every method may try at most "
                    f"{self.tuning.tries} (tuning.tries)"
                )
        return self

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
