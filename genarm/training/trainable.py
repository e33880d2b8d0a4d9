"""What trains: the base or another model, an adapter or all weights, from scratch or from a saved ARM."""

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genarm.config import TrainConfig
from genarm.errors import ConfigError, TokenizerMismatch
from genarm.models import ModelSource, load_model, load_tokenizer, resolve
from genarm.models.arm import CONFIG, WEIGHTS, check_same_tokens, check_weights, is_full, read_card
from genarm.models.finite import check_adapter
from genarm.training.full import make_all_trainable
from genarm.training.lora import add_lora, check_tensors, fuse_lora
from genarm.training.qlora import load_quantised

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

# What an adapter's tensors and their meaning depend on: our names, and those of peft's configuration.
ADAPTER_SHAPE = {
    "rank": "r",
    "alpha": "lora_alpha",
    "targets": "target_modules",
    "layers": "layers_to_transform",
}


def arm_source(base: ModelSource, config: TrainConfig) -> ModelSource:
    """`train.model`, or the base: what becomes the ARM. Raises ModelError where it cannot be used."""
    return base if config.model is None else resolve(config.model, config.revision)


def check_vocabulary(
    dimension: str, source: ModelSource, base: ModelSource, tokenizer: "PreTrainedTokenizerBase"
) -> None:
    """Raise TokenizerMismatch where a token id means another token to the ARM's model than to the base."""
    if source.tokenizer_sha256 != base.tokenizer_sha256:
        # Compared with the base's chat template, which is the one that both are used with.
        of_model = load_tokenizer(replace(source, chat_template=tokenizer.chat_template))
        check_same_tokens(dimension, of_model, base.id, tokenizer)


def load_arm_model(
    source: ModelSource, dtype: str, config: TrainConfig, start: Path | None
) -> "PreTrainedModel":
    """The model before any adapter; with `method: full`, it has the weights of `start`, if there is one."""
    if config.method == "full":
        if start is not None:
            _check_method(start, full=True)
            source = resolve(str(start))
        return make_all_trainable(load_model(source, "float32"), dtype)
    return load_quantised(source, dtype) if config.quantise else load_model(source, dtype)


def check_width(dimension: str, model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase") -> None:
    """Raise TokenizerMismatch for a model that has fewer outputs than its tokenizer has ids."""
    width, last = model.get_output_embeddings().weight.shape[0], max(tokenizer.get_vocab().values())
    if width <= last:
        raise TokenizerMismatch(
            f"the model of ARM {dimension!r} scores {width} tokens, and the base's last token has id {last}",
            hint="choose a train.model with the base's tokenizer",
        )


def make_trainable(
    model: "PreTrainedModel", source: ModelSource, config: TrainConfig, start: Path | None
) -> Any:
    """The model with its adapter, a fresh one or that of `start`; with `method: full`, the model itself.

    Raises ConfigError where the adapter of `start` has another shape than `config.lora` asks for, and
    AdapterError where it does not hold all of that shape.
    """
    if config.method == "full":
        return model
    adapted = add_lora(model, config.lora)
    if start is not None:
        _load_start(adapted, source, start)
    fuse_lora(adapted)
    return adapted


def _load_start(adapted: Any, source: ModelSource, start: Path) -> None:
    from peft import get_peft_model_state_dict, set_peft_model_state_dict
    from safetensors.torch import load_file

    _check_method(start, full=False)
    card = read_card(start)
    check_weights(card, source)
    saved, config = json.loads((start / CONFIG).read_text(encoding="utf-8")), adapted.peft_config["default"]
    for ours, theirs in ADAPTER_SHAPE.items():
        was, now = (_plain(value) for value in (saved.get(theirs), getattr(config, theirs)))
        if was != now:
            raise ConfigError(
                f"warm_start: the champion has lora.{ours} = {was or 'all'}, "
                f"params.yaml asks for {now or 'all'}",
                hint=f"set lora.{ours} as the champion has it, or warm_start: null to start from scratch",
            )
    tensors = load_file(start / WEIGHTS)
    check_tensors(start, tensors, get_peft_model_state_dict(adapted, save_embedding_layers=False))
    check_adapter(card.dimension, tensors.items())
    set_peft_model_state_dict(adapted, tensors)


def _check_method(start: Path, *, full: bool) -> None:
    read_card(start)
    if is_full(start) != full:
        kinds = {True: "method = full", False: "method = lora"}
        raise ConfigError(
            f"warm_start: the champion has {kinds[not full]}, params.yaml asks for {kinds[full]}",
            hint=f"set train.{kinds[not full].replace(' =', ':')}, or warm_start: null to start from scratch",
        )


def _plain(value: Any) -> Any:
    return sorted(value) if isinstance(value, (list, set, tuple)) else value
