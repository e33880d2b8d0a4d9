"""Every parameter with its meaning; one class a section of `params.yaml`."""

import re
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from genarm.config.data import DataConfig, SourceConfig
from genarm.config.engine import EngineConfig
from genarm.config.explain import nearest
from genarm.config.feedback import FeedbackConfig, check_feedback
from genarm.config.judge import JudgeConfig
from genarm.config.numbers import Section
from genarm.config.overlay import TrainOverlay, laid_over
from genarm.config.pools import PoolsConfig
from genarm.config.publish import PublishConfig
from genarm.config.serve import ServeConfig
from genarm.config.train import TrainConfig
from genarm.config.watch import WatchConfig
from genarm.errors import ConfigError

DimensionName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,39}$")]


class BaseConfig(Section):
    """The frozen model that is guided, and on which adapters sit."""

    model: str = Field(description="'smollm2-135m-instruct' (embedded), a hub id, a folder, or a GGUF file")
    revision: str | None = Field(None, description="commit or tag of a hub id")
    dtype: Literal["bfloat16", "float16", "float32"] = Field(
        "bfloat16", description="precision of training and decoding"
    )
    device_map: str | dict[str, int | str] | None = Field(
        None,
        description="how the base is spread over devices when it answers, such as 'auto'; by default on one",
    )
    chat_template: str | None = Field(
        None, description="Jinja text that turns messages into a prompt, in place of the tokenizer's own"
    )

    @field_validator("chat_template")
    @classmethod
    def _is_a_template(cls, text: str | None) -> str | None:
        if text and not re.search(r"{[{%]", text):
            shown = text if len(text) < 60 else f"{text[:57]}..."
            raise ValueError(
                f"{shown!r} is no template: without {{{{ }}}} or {{% %}} every prompt would be this text; "
                "a path is not read, since DVC would not see that file change: "
                "put its text below `chat_template: |`"
            )
        return text


class PairsConfig(Section):
    """How preference data becomes training, validation and evaluation pairs."""

    validation: float = Field(0.1, gt=0, lt=1, description="share of prompts held out to watch training")
    evaluation: float = Field(0.3, gt=0, lt=1, description="share of prompts held out for the decision")
    judge: float = Field(
        0.0, ge=0, lt=1, description="share of prompts held out to train a judge (`genarm train-judge`)"
    )
    max_tokens: int = Field(
        1024, ge=8, description="longest prompt + response, in tokens; longer rows are refused"
    )
    max_refused: float = Field(0.1, ge=0, le=1, description="stop when a larger share of rows is refused")
    seed: int = Field(0, description="changes which prompt falls into which split")

    @model_validator(mode="after")
    def _something_is_left_for_training(self) -> "PairsConfig":
        if self.validation + self.evaluation + self.judge >= 1:
            raise ValueError("validation + evaluation + judge must leave prompts for training")
        return self


class SamplingConfig(Section):
    """How a response is drawn; base, champion and challenger answer under the same settings."""

    temperature: float = Field(
        0.7, ge=0, description="of base + weighted ARMs; 0 takes the best token, 1 samples the guided policy"
    )
    top_k: int = Field(0, ge=0, description="0 keeps all")
    top_p: float = Field(
        0.95, gt=0, le=1, description="sample from the fewest tokens that have this probability together"
    )
    max_new_tokens: int = Field(128, ge=1, description="longest response; one that reaches it is cut there")
    stop: tuple[Annotated[str, Field(min_length=1)], ...] = Field((), description="strings that end it")
    batch_size: int = Field(32, ge=1, description="requests decoded together")
    strategy: Literal["auto", "shared", "separate"] = Field(
        "auto", description="whether base and ARMs share their lower layers; auto does where they can"
    )
    speculate: bool = Field(False, description="an ARM smaller than the base drafts, guided policy verifies")
    compiled: bool = Field(False, description="compile the layers first, which takes a minute, for a GPU")
    seed: int = Field(0, description="of all draws; a response depends on it and its prompt alone")


class RespondConfig(Section):
    """How the evaluation prompts are answered."""

    prompts: int | None = Field(
        120, ge=1, description="answer at most this many evaluation prompts; null: all"
    )
    guidance: Literal["sum", "contrast"] = Field(
        "contrast",
        description="add log p_arm, as the paper does, or log p_arm - log p_start, what the ARM learned",
    )
    sampling: SamplingConfig = Field(SamplingConfig(), description="how a response is drawn")
    engine: EngineConfig | None = Field(
        None, description="guided servers that answer; null: the stage loads the models and answers itself"
    )


class TuneConfig(Section):
    """How the weight of an ARM is found where `weight` is `tuned`: on validation prompts, by its judge."""

    weights: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        (0.125, 0.25, 0.5, 1.0), min_length=1, description="the grid that is tried"
    )
    prompts: int = Field(32, ge=8, description="answer at most this many validation prompts")
    max_kl: float = Field(1.0, gt=0, description="most KL(guided || base) in nats a token")
    max_health_ratio: float = Field(
        1.2, ge=1, description="repetition and perplexity under the base, guided over base"
    )
    min_finished_ratio: float = Field(
        0.8, ge=0, le=1, description="least share of answers that end by themselves, guided over base"
    )


class RuleConfig(Section):
    """When a challenger is promoted."""

    alpha: float = Field(0.01, gt=0, lt=0.5, description="false promotion rate over all dimensions of a run")
    min_gain: float = Field(0.02, ge=0, lt=0.5, description="least win rate above 1/2 on its own dimension")
    margin: float = Field(
        0.15, gt=0, lt=0.5, description="win rate below 1/2 tolerated on the other dimensions"
    )
    max_health_ratio: float = Field(
        1.2, ge=1, description="repetition and perplexity under the base, challenger over base"
    )
    held_out: Literal["shown", "required"] = Field(
        "shown", description="whether the held-out judge must see a gain over the rival, too"
    )
    weak_judges: tuple[str, ...] = Field(
        (),
        description="dimensions that may be promoted although their judge is not shown to agree with people",
    )
    max_prompts: int | None = Field(
        None, ge=1, description="go on to at most so many prompts before a hold; null: decide once"
    )
    batch_prompts: int = Field(60, ge=1, description="prompts answered and judged between two looks")
    extra: str | None = Field(
        None, description="JSON Lines file of further prompts, once the evaluation split is used up"
    )


class DimensionConfig(Section):
    """One preference: its data, who judges it, how strongly its ARM guides, and how the ARM is trained."""

    data: SourceConfig = Field(description="its preference pairs: a glob below data/, or `files` and more")
    judge: JudgeConfig = Field(description="who rates a response on it: a scorer, or one of its kinds")
    held_out: JudgeConfig | None = Field(
        None, description="a second judge, which took no part in labels, training or tuning"
    )
    weight: Annotated[float, Field(ge=0)] | Literal["tuned"] = Field(
        description="decoding weight of its ARM: 1/beta of the paper's equation 6; `tuned` is found by tuning"
    )
    train: TrainOverlay = Field(TrainOverlay(), description="what it changes of the section `train`")

    @field_validator("data", "judge", "held_out", mode="before")
    @classmethod
    def _a_text_alone(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, str):
            return {"files" if info.field_name == "data" else "scorer": value}
        return value

    @model_validator(mode="after")
    def _the_second_judge_is_another(self) -> "DimensionConfig":
        if self.held_out == self.judge:
            raise ValueError(f"held_out is the judge itself, {self.judge.name}, and would confirm anything")
        return self

    def named(self, dimension: str) -> "DimensionConfig":
        """The same, whose judges know what their dimension is called."""
        held_out = self.held_out and self.held_out.on(dimension)
        told = {"judge": self.judge.on(dimension), "held_out": held_out}
        if (told["judge"], held_out) == (self.judge, self.held_out):
            return self
        return self.model_copy(update=told)


class Params(Section):
    """The whole of `params.yaml`."""

    base: BaseConfig
    dimensions: dict[DimensionName, DimensionConfig] = Field(min_length=1)
    data: DataConfig = DataConfig()
    feedback: FeedbackConfig = FeedbackConfig()
    pairs: PairsConfig = PairsConfig()
    train: TrainOverlay = TrainOverlay()
    tune: TuneConfig = TuneConfig()
    respond: RespondConfig = RespondConfig()
    decide: RuleConfig = RuleConfig()
    publish: PublishConfig = PublishConfig()
    watch: WatchConfig = WatchConfig()
    pools: PoolsConfig = PoolsConfig()
    serve: ServeConfig = ServeConfig()

    @field_validator("dimensions")
    @classmethod
    def _judges_know_their_dimension(
        cls, dimensions: dict[DimensionName, DimensionConfig]
    ) -> dict[DimensionName, DimensionConfig]:
        return {name: config.named(name) for name, config in dimensions.items()}

    @model_validator(mode="after")
    def _every_dimension_can_be_trained(self) -> "Params":
        for dimension in self.dimensions:
            self.train_config(dimension)
        return self

    @model_validator(mode="after")
    def _the_rule_names_what_is_there(self) -> "Params":
        if unknown := [d for d in self.decide.weak_judges if d not in self.dimensions]:
            raise ValueError(
                f"decide.weak_judges names {unknown[0]!r}{nearest(unknown[0], self.dimensions)}, which is no "
                f"dimension: {', '.join(self.dimensions)}"
            )
        without = [d for d, config in self.dimensions.items() if config.held_out is None]
        if self.decide.held_out == "required" and without:
            raise ValueError(
                f"decide.held_out is required, and dimensions.{without[0]} names no held_out judge: "
                "name one, or leave it at shown"
            )
        return self

    @model_validator(mode="after")
    def _the_canary_is_of_a_dimension(self) -> "Params":
        canary = self.serve.canary
        if canary and canary.dimension not in self.dimensions:
            raise ValueError(
                f"serve.canary.dimension is {canary.dimension!r}"
                f"{nearest(canary.dimension, self.dimensions)}, which is no dimension: "
                f"{', '.join(self.dimensions)}"
            )
        if canary and canary.compared and self.feedback.store is None:
            raise ValueError(
                f"serve.canary.compared is {canary.compared:g}, and feedback.store names no store of votes"
            )
        return self

    @model_validator(mode="after")
    def _feedback_can_come_in(self) -> "Params":
        data = {dimension: config.data for dimension, config in self.dimensions.items()}
        check_feedback(self.feedback, data)
        return self

    @model_validator(mode="after")
    def _looks_begin_and_end_somewhere(self) -> "Params":
        first, most, extra = self.respond.prompts, self.decide.max_prompts, self.decide.extra
        if extra and most is None:
            raise ValueError(
                f"decide.extra = {extra!r} holds prompts that are answered up to decide.max_prompts, "
                "which is not set"
            )
        if most is not None and (first is None or first > most):
            raise ValueError(
                f"respond.prompts = {'null' if first is None else first} is how many prompts are answered "
                f"before the first look, and decide.max_prompts = {most} is how many at most"
            )
        return self

    def train_config(self, dimension: str) -> TrainConfig:
        """The settings of one dimension: `train` with `dimensions.<dimension>.train` laid over it."""
        return laid_over(self.train, self.dimensions[self.known(dimension)].train, dimension)

    def known(self, dimension: str) -> str:
        """The dimension itself; ConfigError where `params.yaml` does not list it."""
        if dimension not in self.dimensions:
            raise ConfigError(
                f"unknown dimension {dimension!r}{nearest(dimension, self.dimensions)}",
                hint=f"dimensions in params.yaml: {', '.join(self.dimensions)}",
            )
        return dimension
