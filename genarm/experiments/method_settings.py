"""The settings of the methods, one class each; a field that names a model of the experiment says so."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, model_validator

from genarm.config import JudgeConfig, Section

Weight = Annotated[float, Field(ge=0)]


class NoSettings(Section):
    """A method without settings."""


class SharpenedSettings(Section):
    """The base alone, as sharp as guidance that learned nothing would make it."""

    weight: float = Field(1.0, gt=0, description="of the guidance whose sharpening it has: T / (1 + weight)")


class GuidedSettings(Section):
    """The base guided by ARMs."""

    arms: dict[str, str] = Field(min_length=1, description="dimension -> the model that is its ARM")
    weight: Weight | dict[str, Weight] = Field(1.0, description="of each ARM: one for all, or by dimension")
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


class ParmSettings(Section):
    """The base guided by one ARM that a preference vector conditions."""

    parm: str = Field(description="the model that is the PARM")
    weight: float = Field(1.0, gt=0, description="of the PARM")
    guidance: Literal["sum", "contrast"] = Field("sum", description="what the weight multiplies")
    dimensions: tuple[str, str] = Field(description="the two dimensions of its vector, in order")
    share: float = Field(0.5, ge=0, le=1, description="of the first dimension")


class SoupSettings(Section):
    """The weighted mean of two adapters, which answers alone."""

    adapters: dict[str, str] = Field(
        min_length=2, max_length=2, description="dimension -> the model that is its adapter"
    )
    share: float = Field(0.5, ge=0, le=1, description="of the first adapter")
    scale: float = Field(1.0, gt=0, description="of its change of the base's weights; 1: as it was trained")


class AdapterSettings(Section):
    """A trained adapter that answers alone, without guidance."""

    adapter: str = Field(description="the model that answers: an adapter on the base, or a full model")
    scale: float = Field(1.0, gt=0, description="of its change of the base's weights; 1: as it was trained")


class ProxySettings(Section):
    """The base moved by what a small model learned."""

    arm: str = Field(description="the small model that was trained on another small one")
    alpha: float = Field(1.0, ge=0, description="of log p_tuned - log p_untuned")


class BestOfSettings(Section):
    """The best of several responses of the base."""

    n: int = Field(16, ge=1, description="responses that are drawn for each prompt")
    reward: str | None = Field(None, description="the reward model that chooses")
    arm: str | None = Field(None, description="the ARM whose likelihood chooses")
    implicit: bool = Field(False, description="by log p_arm - log p_start, not by log p_arm")
    judge: JudgeConfig | None = Field(None, description="the judge that chooses; nobody has one in use")

    @model_validator(mode="after")
    def _one_chooses(self) -> "BestOfSettings":
        if sum(choice is not None for choice in (self.reward, self.arm, self.judge)) != 1:
            raise ValueError("exactly one of reward, arm and judge chooses")
        if self.implicit and self.arm is None:
            raise ValueError("implicit is a way to choose by an ARM, and none is named")
        return self


class ArgsSettings(Section):
    """A reward model that is asked about each of the base's best tokens."""

    reward: str = Field(description="the reward model")
    k: int = Field(10, ge=1, description="tokens that it is asked about")
    weight: float = Field(1.0, ge=0, description="of the reward")
    unit: Literal["reward", "deviation"] = Field(
        "reward", description="the weight counts rewards as they are, or in deviations of those of the base"
    )
    mode: Literal["greedy", "stochastic"] = Field("greedy", description="take the best, or draw")
    close_turn: bool = Field(False, description="score after the tokens that close the turn")


class TransferSettings(ArgsSettings):
    """A candidate token is worth the reward of what an aligned model makes of it."""

    aligned: str = Field(description="the model that continues, such as one of DPO; not the base")
    baseline_reward: str | None = Field(
        None, description="what the aligned model was trained for, where that is another reward: indirect"
    )
    beta: float = Field(2.0, gt=0, description="strength of the KL penalty of its training; indirect only")
    rollout: int = Field(20, ge=1, description="tokens that are continued")

    @model_validator(mode="after")
    def _beta_is_used(self) -> "TransferSettings":
        if self.baseline_reward is None and self.beta != TransferSettings.model_fields["beta"].default:
            raise ValueError(f"beta = {self.beta:g} is only used with a baseline_reward")
        return self


class CardsRowSettings(Section):
    """Segments of the base that a reward model accepts or refuses."""

    reward: str = Field(description="the reward model")
    quantile: float = Field(
        0.9, gt=0, lt=1, description="of the rewards of the base on validation prompts: the target"
    )
    entropy: float = Field(3.0, ge=0, description="in nats, of the next token, at which a segment ends")
    alpha: float = Field(0.5, ge=0, le=1, description="share of the target that the first segment must have")
    beta: float = Field(
        0.7, gt=0, description="how far below its threshold a reward may be, in deviations of the base's"
    )
    shortest: int = Field(4, ge=1, description="tokens of a segment, at least")
    longest: int = Field(64, ge=1, description="tokens of a segment, at most")
    tries: int = Field(20, ge=1, description="refused segments of which the best is taken")
    close_turn: bool = Field(True, description="score after the tokens that close the turn")

    @model_validator(mode="after")
    def _a_segment_has_some_length(self) -> "CardsRowSettings":
        if self.shortest > self.longest:
            raise ValueError(f"shortest = {self.shortest} is above longest = {self.longest}")
        return self
