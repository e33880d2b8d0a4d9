"""The methods by name: which settings each one takes, which models it is made of, and who makes it.

A method is made by `make(context, settings)` and answers requests; see `genarm.baselines.method`. What it
imports is loaded there, so that this list costs nothing to read.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, model_validator

from genarm.config import Section
from genarm.models import ModelSource

if TYPE_CHECKING:
    from genarm.baselines.method import Method

DECODING = ("decoding", "models", "types.py")  # what every answer depends on


@dataclass(frozen=True, slots=True)
class Context:
    """What a method is made in: the base, and the folder of each model of the experiment by its name."""

    base: ModelSource
    dtype: str
    batch_size: int
    models: Mapping[str, Path]


Factory = Callable[[Context, Mapping[str, Any]], "Method"]


@dataclass(frozen=True, slots=True)
class MethodKind:
    """One kind of method. `predicted` gives the tokens that each part reads for one that is drawn."""

    about: str
    settings: type[Section]
    make: Factory
    predicted: Callable[[Mapping[str, Any]], Mapping[str, float]]
    models: tuple[str, ...] = ()  # the settings that name models
    code: tuple[str, ...] = DECODING
    needs: tuple[str, ...] = ()  # packages of extras, without which it does not run


class NoSettings(Section):
    """A method without settings."""


class SharpenedSettings(Section):
    """The base alone, as sharp as guidance that learned nothing would make it."""

    weight: float = Field(1.0, gt=0, description="of the guidance whose sharpening it has: T / (1 + weight)")


class GuidedSettings(Section):
    """The base guided by ARMs."""

    arms: dict[str, str] = Field(min_length=1, description="dimension -> the model that is its ARM")
    weight: float | dict[str, float] = Field(
        1.0, description="weight of each ARM: one for all, or by dimension"
    )
    guidance: Literal["sum", "contrast"] = Field("sum", description="what a weight multiplies")
    share: float | None = Field(
        None, ge=0, le=1, description="of two ARMs, the share of its weight that the first one has"
    )

    @model_validator(mode="after")
    def _weights_fit_the_arms(self) -> "GuidedSettings":
        if self.share is not None and len(self.arms) != 2:
            raise ValueError(f"share divides two ARMs, here are {len(self.arms)}")
        if isinstance(self.weight, Mapping) and set(self.weight) != set(self.arms):
            raise ValueError(f"weight is of {sorted(self.weight)}, the ARMs are of {sorted(self.arms)}")
        return self

    def weights(self) -> dict[str, float]:
        """The weight of each ARM in a request."""
        given = self.weight if isinstance(self.weight, Mapping) else dict.fromkeys(self.arms, self.weight)
        shares = (1.0, 1.0) if self.share is None else (self.share, 1 - self.share)
        parts = zip(self.arms, shares, strict=True) if len(self.arms) == 2 else ((a, 1.0) for a in self.arms)
        return {arm: share * given[arm] for arm, share in parts}


class AdapterSettings(Section):
    """A trained adapter that answers alone, without guidance."""

    adapter: str = Field(description="the model that answers: an adapter on the base")


def _base(context: Context, settings: Mapping[str, Any]) -> "Method":
    from genarm.experiments.weighted import weighted

    return weighted(context, {})


def _sharpened(context: Context, settings: Mapping[str, Any]) -> "Method":
    from genarm.experiments.weighted import weighted

    return weighted(context, {}, sharper=1 + SharpenedSettings(**settings).weight)


def _guided(context: Context, settings: Mapping[str, Any]) -> "Method":
    from genarm.experiments.weighted import weighted

    given = GuidedSettings(**settings)
    folders = {arm: context.models[model] for arm, model in given.arms.items()}
    return weighted(context, folders, weights=given.weights(), guidance=given.guidance)


def _adapter(context: Context, settings: Mapping[str, Any]) -> "Method":
    from genarm.experiments.weighted import weighted

    folder = context.models[AdapterSettings(**settings).adapter]
    # log p_base + 1 (log p_adapter - log p_base): the adapter's own policy
    return weighted(context, {"adapter": folder}, weights={"adapter": 1.0}, guidance="contrast")


def alone(_settings: Mapping[str, Any]) -> Mapping[str, float]:
    """The base reads each token once."""
    return {"base": 1.0}


METHODS: dict[str, MethodKind] = {
    "base": MethodKind("the base model alone", NoSettings, _base, alone),
    "sharpened": MethodKind(
        "the base at temperature T / (1 + weight): what guidance sharpens by itself",
        SharpenedSettings,
        _sharpened,
        alone,
    ),
    "guided": MethodKind(
        "GenARM: the base guided by ARMs",
        GuidedSettings,
        _guided,
        lambda settings: {"base": 1.0, "arm": float(len(settings["arms"]))},
        models=("arms",),
    ),
    "adapter": MethodKind(
        "a trained adapter that answers alone, such as one of DPO",
        AdapterSettings,
        _adapter,
        lambda settings: {"base": 1.0, "arm": 1.0},
        models=("adapter",),
    ),
}


def named_models(value: object) -> list[str]:
    """The names of models in the value of a setting: a name, several, or some by dimension."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, Mapping):
        return [name for entry in value.values() for name in named_models(entry)]
    return (
        [name for entry in value for name in named_models(entry)] if isinstance(value, list | tuple) else []
    )
