"""The parameters of judges: who rates a response on one dimension."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from genarm.config.api import Address, KeyName
from genarm.config.numbers import Section

KINDS = ("scorer", "llm", "reward_model", "trained")


class LlmJudgeConfig(Section):
    """A language model behind an OpenAI-compatible API that compares two responses, in both orders."""

    model: str = Field(description="name of the model, as its server calls it")
    base_url: Address | None = Field(None, description="address of the API; null: OpenAI's own")
    key: KeyName | None = Field(
        None,
        description="name of the environment variable that holds the key; null: the server asks for none",
    )
    criterion: str | None = Field(
        None,
        min_length=1,
        description="what decides, such as 'kindness to the user'; null: what the dimension's name says",
    )
    template: str | None = Field(
        None, description="Jinja file in the project that asks for the comparison; null: the built-in one"
    )
    verdict: Literal["auto", "logprobs", "text"] = Field(
        "auto", description="read from label log-probabilities or from the text; auto: as the API allows"
    )
    max_tokens: int = Field(
        16, ge=1, description="longest answer read from the text; a model that reasons needs thousands"
    )
    concurrency: int = Field(16, ge=1, description="requests in flight together")
    timeout: float = Field(60.0, gt=0, description="seconds that one request may take")
    retries: int = Field(6, ge=0, description="times that a request is repeated which may yet succeed")
    price_in: float | None = Field(None, ge=0, description="dollars a million tokens read, for the cost")
    price_out: float | None = Field(None, ge=0, description="dollars a million tokens written")

    @model_validator(mode="after")
    def _openai_asks_for_a_key(self) -> "LlmJudgeConfig":
        if self.base_url is None and self.key is None:
            raise ValueError("without base_url it is OpenAI's API, which asks for a key: key: OPENAI_API_KEY")
        return self


class RewardModelConfig(Section):
    """A sequence-classification model of transformers that scores a prompt with its response."""

    model: str = Field(description="a hub id, or a folder; one within the project is named from its root")
    revision: str | None = Field(None, description="commit or tag of a hub id")
    dtype: Literal["bfloat16", "float16", "float32"] = Field("float32", description="precision")
    batch_tokens: int = Field(4096, ge=8, description="tokens of a forward pass, padding included")
    max_tokens: int = Field(2048, ge=8, description="longer texts lose the beginning of their prompt")
    label: int | None = Field(
        None, ge=0, description="which label is the score, from 0, where the model has more than one"
    )
    lower_is_better: bool = Field(False, description="whether the model rates a cost, as one of Beaver's")
    chat_template: str | None = Field(
        None, description="Jinja text that renders a conversation, in place of the tokenizer's own"
    )


class TrainedJudgeConfig(Section):
    """A reward model that `genarm train-judge` trained on pairs which the ARM never sees."""

    version: int = Field(ge=1, description="its version in the registry, as `genarm train-judge` prints it")
    sha256: str | None = Field(
        None,
        pattern=r"^[0-9a-f]{12,64}$",
        description="the start of its hash, so that another registry's version of that number is refused",
    )
    dimension: str | None = Field(None, description="what it was trained for; null: the dimension it judges")
    dtype: Literal["bfloat16", "float16", "float32"] = Field("float32", description="precision")
    batch_tokens: int = Field(4096, ge=8, description="tokens of a forward pass, padding included")


class JudgeConfig(Section):
    """Who judges one dimension: exactly one of the kinds; a text alone is `scorer`."""

    scorer: str | None = Field(
        None, description="a built-in scorer, or a class or function: 'package.module:Name'"
    )
    options: dict[str, Any] = Field(default_factory=dict, description="arguments of the class or function")
    llm: LlmJudgeConfig | None = Field(None, description="a language model that compares")
    reward_model: RewardModelConfig | None = Field(None, description="a sequence-classification model")
    trained: TrainedJudgeConfig | None = Field(None, description="a reward model trained here")
    tie: Annotated[float, Field(ge=0)] = Field(0.0, description="scores closer than this tie")

    @model_validator(mode="after")
    def _is_of_one_kind(self) -> "JudgeConfig":
        given = [kind for kind in KINDS if getattr(self, kind) is not None]
        if len(given) != 1:
            found = " and ".join(given) if given else "none"
            raise ValueError(f"a judge is exactly one of {', '.join(KINDS)}; here is {found}")
        if self.options and not self.scorer:
            raise ValueError(f"options are arguments of a scorer, and this judge is of the kind {given[0]}")
        if self.tie and self.llm:
            raise ValueError("tie is for scores, and an llm compares by itself")
        return self

    def on(self, dimension: str) -> "JudgeConfig":
        """The same judge, told what its dimension is called.

        A language model must know what to look for, a trained judge is found by it.
        """
        if self.trained is not None and self.trained.dimension is None:
            trained = self.trained.model_copy(update={"dimension": dimension})
            return self.model_copy(update={"trained": trained})
        if self.llm is None or self.llm.criterion is not None:
            return self
        return self.model_copy(update={"llm": self.llm.model_copy(update={"criterion": dimension})})

    @property
    def kind(self) -> str:
        """Which of the kinds it is."""
        return next(kind for kind in KINDS if getattr(self, kind) is not None)

    @property
    def name(self) -> str:
        """What it is called in a line: the scorer or the model."""
        if self.scorer is not None:
            return self.scorer
        if self.llm is not None:
            return self.llm.model
        if self.reward_model is not None:
            return self.reward_model.model
        assert self.trained is not None
        return f"trained judge {self.trained.version} of {self.trained.dimension}"
