"""What trains: the base or another model, an adapter or all weights, anew or on from a saved ARM."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genarm.config import TrainConfig
from genarm.errors import ConfigError, TokenizerMismatch
from genarm.models import ModelSource, load_model, load_tokenizer, resolve
from genarm.models.arm import CONFIG, WEIGHTS, check_same_tokens, check_weights, is_full, read_card
from genarm.training.full import train_all
from genarm.training.lora import adapt, fuse
from genarm.training.qlora import load_quantised

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

# Of peft's configuration, by our names: what an adapter's tensors and their meaning depend on.
SAME = {
    "rank": "r",
    "alpha": "lora_alpha",
    "targets": "target_modules",
    "layers": "layers_to_transform",
}


def own_model(base: ModelSource, config: TrainConfig) -> ModelSource:
    """`train.model`, or the base: what becomes the ARM. Raises ModelError where it cannot be used."""
    return base if config.model is None else resolve(config.model, config.revision)


def check_vocabulary(
    dimension: str, own: ModelSource, base: ModelSource, tokenizer: "PreTrainedTokenizerBase"
) -> None:
    """Raise TokenizerMismatch where the ARM's model reads a token id in another way than the base."""
    if own.tokenizer_sha256 != base.tokenizer_sha256:
        theirs = load_tokenizer(ModelSource(**{**_fields(own), "chat_template": tokenizer.chat_template}))
        check_same_tokens(dimension, theirs, base.id, tokenizer)


def load(own: ModelSource, dtype: str, config: TrainConfig, start: Path | None) -> "PreTrainedModel":
    """The model before any adapter; `start` is the ARM to go on from, whose weights a full one has."""
    if config.method == "full":
        if start is None:
            return train_all(load_model(own, "float32"), dtype)
        _check_kind(start, full=True)
        return train_all(load_model(resolve(str(start)), "float32"), dtype)
    return load_quantised(own, dtype) if config.quantise else load_model(own, dtype)


def check_width(dimension: str, model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase") -> None:
    """Raise TokenizerMismatch for a model that has fewer outputs than its tokenizer has ids."""
    width, last = model.get_output_embeddings().weight.shape[0], max(tokenizer.get_vocab().values())
    if width <= last:
        raise TokenizerMismatch(
            f"the model of ARM {dimension!r} scores {width} tokens, and the base's last token has id {last}",
            hint="choose a train.model with the base's tokenizer",
        )


def make_trainable(
    model: "PreTrainedModel", own: ModelSource, config: TrainConfig, start: Path | None
) -> Any:
    """The model with what trains in it. Raises ConfigError where `start` is of another shape."""
    if config.method == "full":
        return model
    adapted = adapt(model, config.lora)
    if start is not None:
        _go_on_from(adapted, own, start)
    fuse(adapted)
    return adapted


def _go_on_from(adapted: Any, own: ModelSource, start: Path) -> None:
    from peft import set_peft_model_state_dict
    from safetensors.torch import load_file

    _check_kind(start, full=False)
    check_weights(read_card(start), own)
    saved, here = json.loads((start / CONFIG).read_text(encoding="utf-8")), adapted.peft_config["default"]
    for ours, theirs in SAME.items():
        was, now = (_plain(value) for value in (saved.get(theirs), getattr(here, theirs)))
        if was != now:
            raise ConfigError(
                f"warm_start: the champion has lora.{ours} = {was or 'all'}, "
                f"params.yaml asks for {now or 'all'}",
                hint=f"set lora.{ours} as the champion has it, or warm_start: null to train anew",
            )
    set_peft_model_state_dict(adapted, load_file(start / WEIGHTS))


def _check_kind(start: Path, *, full: bool) -> None:
    read_card(start)
    if is_full(start) != full:
        kinds = {True: "method = full", False: "method = lora"}
        raise ConfigError(
            f"warm_start: the champion has {kinds[not full]}, params.yaml asks for {kinds[full]}",
            hint=f"set train.default.{kinds[not full].replace(' =', ':')}, or warm_start: null to train anew",
        )


def _plain(value: Any) -> Any:
    return sorted(value) if isinstance(value, (list, set, tuple)) else value


def _fields(source: ModelSource) -> dict[str, Any]:
    return {name: getattr(source, name) for name in source.__dataclass_fields__}
