"""One row of an `experiment.yaml`: a method, what is tuned of it, its front, its constraint, its time."""

from collections.abc import Mapping
from math import prod
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError, field_validator, model_validator

from genarm.config import Section
from genarm.config.explain import explain
from genarm.config.params import DimensionName
from genarm.experiments.distinct import once

Values = Annotated[tuple[Any, ...], Field(min_length=1)]  # of one setting


class RangeConfig(Section):
    """A strength that is searched for the KL that `tuning.kl` asks for."""

    from_: float = Field(alias="from", gt=0, description="the least strength that may be tried")
    to: float = Field(gt=0, description="the largest")

    @model_validator(mode="after")
    def _it_has_a_length(self) -> "RangeConfig":
        if self.from_ >= self.to:
            raise ValueError(f"from = {self.from_:g} is not below to = {self.to:g}")
        return self


def _tunable(value: Any) -> Any:
    """What may stand at a setting of `tune`: a list of values, or a range."""
    if isinstance(value, RangeConfig):
        return value
    if isinstance(value, Mapping):
        try:
            return RangeConfig.model_validate(value)
        except ValidationError as error:
            raise ValueError(explain(error, RangeConfig)) from None
    if isinstance(value, list | tuple):
        if not value:
            raise ValueError("a list of values has at least 1 item")
        return tuple(value)
    raise ValueError(f"{value!r} is neither a list of values nor a range, such as {{from: 0.1, to: 4}}")


Tunable = Annotated[RangeConfig | tuple[Any, ...], BeforeValidator(_tunable)]


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
        None, description="weights of the dimension's ARM to try, at most `tuning.tries`"
    )
    share: tuple[Annotated[float, Field(ge=0, le=1)], ...] | None = Field(
        None, description="shares of the dimension to try, at most `tuning.tries`"
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
        if not values:
            raise ValueError("constrain tries 0 values; it has at least one")
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
    tune: dict[str, Tunable] = Field(
        {},
        description="chosen on validation prompts: settings with lists of values, or a strength with a range",
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
        return gathered(value, {*cls.model_fields})

    @property
    def listed(self) -> dict[str, tuple[Any, ...]]:
        """The settings of `tune` that have a list of values."""
        return {key: values for key, values in self.tune.items() if not isinstance(values, RangeConfig)}

    @property
    def searched(self) -> tuple[str, RangeConfig] | None:
        """The strength that is searched for, with its range; None where lists are tried, or nothing is."""
        return next(((key, own) for key, own in self.tune.items() if isinstance(own, RangeConfig)), None)

    @property
    def combinations(self) -> int:
        """How many settings its lists, or its constraint, make it try; of a range that is not known."""
        if self.constrain:
            return len(self.constrain.values)
        return prod(len(values) for values in self.listed.values()) if self.listed else 0

    @model_validator(mode="after")
    def _what_is_varied_goes_together(self) -> "RowConfig":
        if self.searched and len(self.tune) > 1:
            others = ", ".join(key for key in self.tune if key != self.searched[0])
            raise ValueError(
                f"tune has a range of {self.searched[0]} and {others} beside it: one range, or lists"
            )
        if len(self.front) > 1:
            raise ValueError(f"front varies one setting, here are {len(self.front)}")
        if self.constrain and (self.tune or self.front):
            raise ValueError("a row with constrain has neither tune nor front: it has one setting, the least")
        return self

    @model_validator(mode="after")
    def _each_setting_is_given_once(self) -> "RowConfig":
        for key in {**self.tune, **self.front}:
            places = [name for name in ("settings", "tune", "front") if key in getattr(self, name)]
            if len(places) > 1:
                named = " and in ".join("the row itself" if p == "settings" else p for p in places)
                raise ValueError(f"{key} stands in {named}; keep one of them, the others would not count")
        for key, values in {**self.listed, **self.front}.items():
            once(f"the {key}", values)
        return self


def gathered(value: Any, known: set[str]) -> Any:
    """The keys that are not `known` moved into `settings`."""
    if not isinstance(value, Mapping) or "settings" in value:
        return value
    kept = {key: entry for key, entry in value.items() if key in known}
    return kept | {"settings": {key: entry for key, entry in value.items() if key not in known}}
