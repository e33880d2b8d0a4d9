"""Every knob with its meaning; one class a section of `params.yaml`. Unknown keys are refused by name."""

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, ValidationError, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from genarm.config.train import Section, TrainConfig
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


class SourceConfig(Section):
    """Where the preference pairs of one dimension are, and how to read them."""

    files: str = Field(description="glob below data/, such as 'positive.jsonl' or 'helpful/*.jsonl.gz'")
    format: Literal["auto", "trl", "hh", "pku", "ultrafeedback"] = Field("auto", description="row format")
    preferred: Literal["better_response_id", "safer_response_id"] | None = Field(
        None, description="PKU rows only: the label that names the chosen response"
    )


class PairsConfig(Section):
    """How preference data becomes training, validation and evaluation pairs."""

    sources: dict[DimensionName, SourceConfig]
    validation: float = Field(0.1, gt=0, lt=1, description="share of prompts held out to watch training")
    evaluation: float = Field(0.3, gt=0, lt=1, description="share of prompts held out for the gate")
    max_tokens: int = Field(
        1024, ge=8, description="longest prompt + response, in tokens; longer rows are refused"
    )
    max_refused: float = Field(0.1, ge=0, le=1, description="stop when a larger share of rows is refused")
    seed: int = Field(0, description="changes which prompt falls into which split")

    @model_validator(mode="after")
    def _something_is_left_for_training(self) -> "PairsConfig":
        if self.validation + self.evaluation >= 1:
            raise ValueError("validation + evaluation must leave prompts for training")
        return self


class SamplingConfig(Section):
    """How a response is drawn; base, champion and challenger answer under the same settings."""

    temperature: float = Field(1.0, ge=0, description="of base + weighted ARMs; 0 takes the best token")
    top_k: int = Field(0, ge=0, description="0 keeps all")
    top_p: float = Field(1.0, gt=0, le=1)
    max_new_tokens: int = Field(64, ge=1)
    stop: tuple[Annotated[str, Field(min_length=1)], ...] = Field((), description="strings that end it")
    batch_size: int = Field(32, ge=1, description="requests decoded together")
    strategy: Literal["auto", "shared", "separate"] = "auto"
    speculate: bool = Field(False, description="an ARM smaller than the base drafts, guided policy verifies")
    compiled: bool = Field(False, description="compile the layers first, which takes a minute, for a GPU")
    seed: int = 0


class RespondConfig(Section):
    """What answers the evaluation prompts, and how strongly it is guided."""

    weights: dict[DimensionName, Annotated[float, Field(ge=0)]] = Field(
        description="decoding weight of each dimension's ARM: 1/beta of the paper's equation 6"
    )
    prompts: int | None = Field(None, ge=1, description="answer at most this many evaluation prompts")
    sampling: SamplingConfig = SamplingConfig()


class ScorerConfig(Section):
    """What judges one dimension: a function of the text for which more is better."""

    scorer: str = Field(description="a built-in scorer, or 'package.module:function'")
    options: dict[str, Any] = Field(default_factory=dict, description="keyword arguments of the scorer")
    tie: float = Field(0.0, ge=0, description="scores closer than this tie")


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


class Params(Section):
    """The whole of `params.yaml`."""

    base: BaseConfig
    dimensions: list[DimensionName] = Field(min_length=1)
    pairs: PairsConfig
    train: dict[str, dict[str, Any]] = Field(description="'default', then what each dimension changes of it")
    respond: RespondConfig
    judge: dict[DimensionName, ScorerConfig]
    decide: RuleConfig = RuleConfig()

    @model_validator(mode="after")
    def _every_dimension_is_complete(self) -> "Params":
        for section, keys in (
            ("pairs.sources", self.pairs.sources),
            ("train", self.train),
            ("respond.weights", self.respond.weights),
            ("judge", self.judge),
        ):
            if missing := [d for d in self.dimensions if d not in keys]:
                raise ValueError(f"{section} says nothing of dimension {missing[0]!r}")
            allowed = {*self.dimensions, "default"} if section == "train" else set(self.dimensions)
            if strangers := sorted(set(keys) - allowed):
                raise ValueError(
                    f"{section}.{strangers[0]} is no dimension{nearest(strangers[0], allowed)}; "
                    f"dimensions: {', '.join(self.dimensions)}"
                )
        for dimension in self.dimensions:
            _train_config(self.train, dimension)
        return self

    def train_config(self, dimension: str) -> TrainConfig:
        """The settings of one dimension: `train.default` with `train.<dimension>` laid over it."""
        self.known(dimension)
        return _train_config(self.train, dimension)

    def known(self, dimension: str) -> str:
        """The dimension itself; ConfigError where `params.yaml` does not list it."""
        if dimension not in self.dimensions:
            raise ConfigError(
                f"unknown dimension {dimension!r}{nearest(dimension, self.dimensions)}",
                hint=f"dimensions in params.yaml: {', '.join(self.dimensions)}",
            )
        return dimension


def _train_config(train: Mapping[str, Mapping[str, Any]], dimension: str) -> TrainConfig:
    values = _overlay(train.get("default") or {}, train.get(dimension) or {})
    try:
        return TrainConfig.model_validate(values)
    except ValidationError as error:
        own = _paths(train.get(dimension) or {})
        first = ".".join(str(part) for part in error.errors()[0]["loc"])
        section = dimension if first in own else "default"
        raise ValueError(_explain(error, TrainConfig, prefix=f"train.{section}")) from None


def _overlay(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        merged[key] = (
            _overlay(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
        )
    return merged


def _paths(values: Mapping[str, Any], prefix: str = "") -> set[str]:
    found = set()
    for key, value in values.items():
        found.add(f"{prefix}{key}")
        if isinstance(value, Mapping):
            found |= _paths(value, f"{prefix}{key}.")
    return found


def load_params(path: Path) -> Params:
    """Read and check a parameter file. Raises ConfigError naming file, key, value and the nearest key."""
    try:
        values = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"no parameter file at {path}", hint="run genarm in the project's folder") from None
    except YAMLError as error:
        raise ConfigError(
            f"{path} is not valid YAML: {error}", hint="mend the line that the message names"
        ) from None
    return check_params(values, str(path))


def check_params(values: object, where: str) -> Params:
    """Params from plain values; `where` names their origin in errors."""
    if not isinstance(values, Mapping):
        raise ConfigError(f"{where} holds no parameters", hint="it must be a mapping of sections")
    try:
        return Params.model_validate(values)
    except ValidationError as error:
        raise ConfigError(
            f"{where}: {_explain(error, Params)}",
            hint="genarm/config/params.py and train.py list every key",
        ) from None


def _explain(error: ValidationError, model: type[BaseModel], prefix: str = "") -> str:
    lines = []
    for item in error.errors():
        parts = [prefix, *(str(part) for part in item["loc"])]
        key = ".".join(part for part in parts if part)
        if item["type"] == "extra_forbidden":
            name = str(item["loc"][-1])
            lines.append(f"unknown key {key!r}{nearest(name, _keys_at(model, item['loc'][:-1]))}")
        elif item["type"] == "missing":
            lines.append(f"missing key {key!r}")
        elif item["type"] == "value_error":
            lines.append(item["msg"].removeprefix("Value error, "))
        else:
            lines.append(f"{key} = {item['input']!r}: {item['msg'].lower()}")
    return "; ".join(lines)


def _keys_at(model: type[BaseModel], loc: tuple[int | str, ...]) -> list[str]:
    """The known keys of the section that `loc` leads to."""
    for part in loc:
        if not isinstance(part, str) or part not in model.model_fields:
            continue
        annotation = model.model_fields[part].annotation
        inner = getattr(annotation, "__args__", (annotation,))
        sections = [a for a in (annotation, *inner) if isinstance(a, type) and issubclass(a, BaseModel)]
        if sections:
            model = sections[0]
    return list(model.model_fields)


def nearest(name: str, known: Iterable[str]) -> str:
    """A question for an error message, with the closest known name; empty where none is close."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" (did you mean {close[0]!r}?)" if close else ""
