"""The bodies of requests, as OpenAI names their fields, with ours beside them.

A field that would change the answer and that this server cannot honour is refused, unless it has the value
that changes nothing. A field that concerns the client's own books is taken and not used.
"""

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from genarm.serve.errors import ApiError, invalid
from genarm.types import Message

Token = Annotated[int, Field(ge=0, lt=2**31, strict=True)]
Weight = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False, strict=True)]


def _neutral(*values: object) -> BeforeValidator:
    def check(value: object) -> object:
        if not any(type(value) is type(v) and value == v for v in values):
            raise ValueError("this server does not support it: leave it out")
        return value

    return BeforeValidator(check)


MOST_TOP = 20  # likeliest tokens a position, as OpenAI has it
Unsupported = Annotated[Any, _neutral(None, [], {}, False)]
NoPenalty = Annotated[Any, _neutral(None, 0, 0.0)]


class Part(BaseModel):
    """A part of a message's content, of which text is the only kind."""

    model_config = ConfigDict(extra="forbid")
    type: Literal["text"]
    text: str


class ChatMessage(BaseModel):
    """One turn; `developer` counts as `system`."""

    model_config = ConfigDict(extra="forbid")
    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[Part]
    name: str | None = None

    def message(self) -> Message:
        """The turn as the chat template takes it."""
        text = self.content if isinstance(self.content, str) else "".join(p.text for p in self.content)
        return Message("system" if self.role == "developer" else self.role, text)


class StreamOptions(BaseModel):
    """What a stream tells beside the text."""

    model_config = ConfigDict(extra="forbid")
    include_usage: bool = False
    include_obfuscation: bool = False


class CommonBody(BaseModel):
    """What both endpoints take."""

    model_config = ConfigDict(extra="forbid")
    model: str = Field(max_length=200)
    n: int = Field(1, ge=1, le=128, strict=True)
    seed: int | None = Field(None, ge=-(2**63), lt=2**63, strict=True)
    stop: str | list[Annotated[str, Field(min_length=1, max_length=256)]] | None = None
    stream: bool = False
    stream_options: StreamOptions | None = None
    temperature: float | None = Field(None, ge=0, le=2, allow_inf_nan=False)
    top_p: float | None = Field(None, gt=0, le=1, allow_inf_nan=False)
    max_tokens: int | None = Field(None, ge=1, le=2**31, strict=True)
    # Of genarm.
    top_k: int | None = Field(
        None, ge=0, le=2**31, strict=True, description="draw among so many tokens; 0: all"
    )
    ignore_eos: bool = Field(False, description="go on after an end token")
    guidance: dict[str, Weight] | None = Field(
        None, max_length=64, description="weight by dimension, in place of the model's own weights"
    )
    guidance_rewards: bool = Field(False, description="tell log-probabilities and rewards token by token")
    user: str | None = Field(None, description="who asks: decides which side of a trial answers")
    # Taken, and not used.
    metadata: dict[str, Any] | None = None
    store: bool | None = None
    service_tier: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    # Refused, unless they change nothing.
    frequency_penalty: NoPenalty = 0
    presence_penalty: NoPenalty = 0
    logit_bias: Unsupported = None

    @model_validator(mode="after")
    def _few_stop_strings(self) -> "CommonBody":
        if isinstance(self.stop, list) and len(self.stop) > 16:
            raise ValueError("stop has more than 16 strings")
        if self.stop == "" or (isinstance(self.stop, str) and len(self.stop) > 256):
            raise ValueError("a stop string has 1 to 256 characters")
        if self.stream_options and not self.stream:
            raise ValueError("stream_options goes with stream: true")
        return self

    @property
    def stops(self) -> tuple[str, ...]:
        """The stop strings."""
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())

    @property
    def most(self) -> int | None:
        """The most new tokens, where the request says it."""
        return self.max_tokens

    @property
    def tells_logprobs(self) -> bool:
        """Whether the answer holds the log-probability of every token."""
        raise NotImplementedError

    @property
    def tops(self) -> int:
        """Of how many of the likeliest tokens it holds them at every position, beside the drawn one's."""
        raise NotImplementedError

    @property
    def usage_streams(self) -> bool:
        """Whether a stream ends with the usage."""
        return self.stream_options is not None and self.stream_options.include_usage


class ChatBody(CommonBody):
    """`POST /v1/chat/completions`."""

    messages: list[ChatMessage] = Field(min_length=1, max_length=2000)
    max_completion_tokens: int | None = Field(None, ge=1, le=2**31, strict=True)
    logprobs: bool = False
    top_logprobs: int | None = Field(None, ge=0, le=MOST_TOP, strict=True)
    tools: Unsupported = None
    tool_choice: Annotated[Any, _neutral(None, "none", "auto")] = None
    functions: Unsupported = None
    parallel_tool_calls: Annotated[Any, _neutral(None, True, False)] = None
    response_format: Annotated[Any, _neutral(None, {"type": "text"})] = None
    modalities: Annotated[Any, _neutral(None, ["text"])] = None

    @property
    def most(self) -> int | None:
        """The most new tokens, by either name."""
        return self.max_completion_tokens or self.max_tokens

    @property
    def tells_logprobs(self) -> bool:
        """Whether the answer holds the log-probability of every token."""
        return self.logprobs

    @property
    def tops(self) -> int:
        """As asked for."""
        return self.top_logprobs or 0

    @model_validator(mode="after")
    def _top_goes_with_logprobs(self) -> "ChatBody":
        if self.top_logprobs and not self.logprobs:
            raise ValueError("top_logprobs goes with logprobs: true")
        return self

    @property
    def prompts(self) -> list[tuple[Message, ...]]:
        """The one conversation."""
        return [tuple(message.message() for message in self.messages)]


class CompletionBody(CommonBody):
    """`POST /v1/completions`."""

    prompt: str | list[str] | list[Token] | list[list[Token]]
    logprobs: bool | Annotated[int, Field(ge=0, le=MOST_TOP, strict=True)] | None = None
    echo: Annotated[Any, _neutral(None, False)] = None
    suffix: Annotated[Any, _neutral(None, "")] = None
    best_of: Annotated[Any, _neutral(None, 1)] = None

    @property
    def tells_logprobs(self) -> bool:
        """Whether the answer holds the log-probability of every token; 0 asks for the drawn one's."""
        return self.logprobs is not None and self.logprobs is not False

    @property
    def tops(self) -> int:
        """As asked for; `true` asks for the drawn token's alone."""
        return 0 if self.logprobs is None else int(self.logprobs) * (not isinstance(self.logprobs, bool))

    @property
    def prompts(self) -> list[str | tuple[int, ...]]:
        """Texts, or token ids."""
        given = self.prompt
        if isinstance(given, str):
            return [given]
        if given and all(isinstance(part, int) for part in given):
            return [tuple(part for part in given if isinstance(part, int))]
        return [part if isinstance(part, str) else tuple(part) for part in given if not isinstance(part, int)]


B = TypeVar("B", bound=BaseModel)


def read_body(kind: type[B], data: bytes) -> B:
    """The body that these bytes hold. Raises ApiError naming the first field that is wrong."""
    try:
        return kind.model_validate_json(data)
    except ValidationError as error:
        raise _told(error) from None
    except RecursionError:
        raise invalid("the body is nested too deeply") from None


def _told(error: ValidationError) -> ApiError:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    where = ".".join(map(str, first["loc"]))[:200] or None
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        message = "this server does not know this field: leave it out"
    return invalid(f"{where}: {message}" if where else message, where)
