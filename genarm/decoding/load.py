"""From a base model and folders of ARMs to a decoder.

An ARM that is a LoRA on the base's own weights shares them. Any other is a model of its own, such as a small
one that guides a larger base (weak-to-strong): it has its own pass and its own cache, and what joins it to
the base is the tokenizer, the same id by id. ARMs that are LoRAs on the same weights share one model.
"""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from genarm.decoding.starts import start_models, with_starts
from genarm.errors import AdapterError, ConfigError, TokenizerMismatch
from genarm.models import DeviceMap, ModelSource, model_kind, resolve
from genarm.models.arm import (
    CARD,
    CONFIG,
    check_fits,
    check_same_tokens,
    check_weights,
    is_full,
    own_source,
    read_card,
)
from genarm.types import ArmCard

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from genarm.decoding.engine.engine import Engine
    from genarm.decoding.runner.ensemble import Part

log = logging.getLogger(__name__)

DTYPES = ("bfloat16", "float16", "float32")


def load_decoder(
    source: ModelSource | str,
    arms: Mapping[str, Path | str],
    *,
    dtype: str,
    strategy: Literal["auto", "shared", "separate"] = "auto",
    batch_size: int = 32,
    speculate: bool = False,
    device_map: DeviceMap | None = None,
    compiled: bool = False,
    contrast: bool = False,
) -> "Engine":
    """A decoder for a base model and the ARMs in these folders, `batch_size` requests at a time.

    A base given by name is the one that `genarm.models.resolve` finds. `dtype` is `bfloat16`, `float16` or
    `float32`.
    `shared` takes LoRAs on the base's own weights, `separate` any model or LoRA with the base's tokenizer,
    `auto` shares where it can, ARM by ARM. With `speculate` the first ARM of other weights drafts and the
    guided policy verifies. `compiled` spends a minute at the start on compiling the layers, and on a GPU
    records each step as a graph. `contrast` loads what full-model ARMs were trained from, beside them, so
    that requests may contrast them with it; a LoRA's start is there anyway. Raises AdapterError or
    TokenizerMismatch for an ARM that was altered or does not fit, before the base's weights are loaded, and
    ConfigError where no ARM could draft.
    """
    if dtype not in DTYPES:
        raise ConfigError(f"dtype is {dtype!r}", hint=f"it is one of {', '.join(DTYPES)}")
    if isinstance(source, str):
        source = resolve(source)
    folders = {name: _folder(name, Path(place)) for name, place in arms.items()}
    from genarm.decoding.engine.engine import Engine
    from genarm.decoding.runner.adapter_files import check_complete, read_adapter
    from genarm.decoding.runner.build_trunk import build_trunk
    from genarm.decoding.runner.ensemble import Part
    from genarm.decoding.runner.trunk import vocabulary
    from genarm.models import load_model, load_tokenizer

    # Either file says that one of our ARMs is meant; read_card says what is missing.
    ours = {name: f for name, f in folders.items() if (f / CONFIG).is_file() or (f / CARD).is_file()}
    cards = {name: read_card(folder) for name, folder in ours.items()}
    lora_cards = {name: card for name, card in cards.items() if not is_full(folders[name])}
    for name, card in cards.items():
        _warn_of_other_precision(name, card, dtype)
        if name not in lora_cards:
            check_fits(card, source, shares_weights=False)
    fitting = {n for n, card in lora_cards.items() if card.model_weights_sha256 == source.weights_sha256}
    sharing = {"shared": set(folders), "auto": fitting, "separate": set()}[strategy]
    shared = {name: folder for name, folder in folders.items() if name in sharing}
    for name, folder in shared.items():
        if name not in lora_cards:
            raise AdapterError(
                f"ARM {name!r} at {folder} is no PEFT folder, so it shares no weights with the base",
                hint="decode with strategy 'separate'",
            )
        check_fits(lora_cards[name], source, shares_weights=True)
    others = {name: folder for name, folder in folders.items() if name not in shared}
    if speculate and not others:
        raise ConfigError(
            "speculation needs an ARM with a model of its own, smaller than the base, and here is none",
            hint="leave `speculate` out: ARMs on the base's own weights cost little",
        )
    log.info("sharing the base's weights: %s; models of their own: %s", list(shared), list(others))
    adapters = [read_adapter(name, folder) for name, folder in shared.items()]
    tokenizer = load_tokenizer(source)
    models = separate_models(source, others, lora_cards, tokenizer)
    starts = start_models({n: c for n, c in cards.items() if n not in lora_cards} if contrast else {})
    model = load_model(source, dtype, device_map)
    for adapter in adapters:
        check_complete(adapter, shared[adapter.name], model)
    vocab = vocabulary(model, tokenizer)
    parts = load_separate_parts(
        source,
        others,
        models,
        loras=set(lora_cards),
        dtype=dtype,
        vocab=vocab,
        speculate=speculate,
        compiled=compiled,
    )
    base = Part(
        build_trunk(model, adapters, vocab, compiled=compiled), {name: name for name in shared}, base=True
    )
    weights = [source.weights_sha256, *dict.fromkeys(model.weights_sha256 for model in models.values())]
    parts = with_starts([base, *parts], weights, starts, dtype=dtype, vocab=vocab, compiled=compiled)
    return Engine(parts, tokenizer, slots=batch_size, speculate=speculate)


def _folder(name: str, folder: Path) -> Path:
    """The folder of an ARM; a hub id passes for one. Raises AdapterError where there is nothing."""
    if not folder.exists() and model_kind(str(folder)) is None:
        raise AdapterError(
            f"ARM {name!r}: there is no folder {folder}", hint=f"train it: genarm train {name}"
        )
    return folder


def _warn_of_other_precision(name: str, card: ArmCard, dtype: str) -> None:
    """Warn where an ARM runs in another precision than it was trained in: its rewards then differ."""
    trained = f"{card.quantise} weights" if card.quantise else card.dtype
    if trained not in (None, dtype):
        log.warning(
            "ARM %r was trained on %s and is read in %s, which moves its rewards a little; %s",
            *(name, trained, dtype),
            "train with quantise: null to stop this"
            if card.quantise
            else f"base.dtype: {trained} stops this",
        )


def separate_models(
    source: ModelSource,
    arms: Mapping[str, Path],
    lora_cards: Mapping[str, ArmCard],
    tokenizer: "PreTrainedTokenizerBase",
) -> dict[str, ModelSource]:
    """The model of each ARM that does not share the base's weights, before any weight is loaded.

    Raises TokenizerMismatch where a token id does not mean the same to all, AdapterError where an adapter's
    own base has changed.
    """
    from genarm.models import load_tokenizer

    models = {name: own_source(folder, lora_cards.get(name), source) for name, folder in arms.items()}
    for name, model in models.items():
        if model.tokenizer_sha256 != source.tokenizer_sha256:
            check_same_tokens(name, load_tokenizer(model), source.id, tokenizer)
        if name in lora_cards:
            check_fits(lora_cards[name], source, shares_weights=False)
            check_weights(lora_cards[name], model)
    return models


def load_separate_parts(
    source: ModelSource,
    arms: Mapping[str, Path],
    models: Mapping[str, ModelSource],
    *,
    loras: set[str],
    dtype: str,
    vocab: int,
    speculate: bool,
    compiled: bool,
) -> "list[Part]":
    """A part for each set of weights: full models, or LoRAs on the model of their card."""
    parts: list[Part] = []
    for weights in dict.fromkeys(model.weights_sha256 for model in models.values()):
        names = [name for name, model in models.items() if model.weights_sha256 == weights]
        parts.append(
            _load_separate_part(
                models[names[0]],
                {name: arms[name] for name in names},
                loras=loras & set(names),
                base_id=source.id,
                dtype=dtype,
                vocab=vocab,
                draft=speculate and not parts,  # the first drafts
                compiled=compiled,
            )
        )
    return parts


def _load_separate_part(
    source: ModelSource,
    arms: Mapping[str, Path],
    *,
    loras: set[str],
    base_id: str,
    dtype: str,
    vocab: int,
    draft: bool,
    compiled: bool,
) -> "Part":
    from genarm.decoding.runner.adapter_files import check_complete, read_adapter
    from genarm.decoding.runner.build_trunk import build_trunk
    from genarm.decoding.runner.ensemble import Part
    from genarm.decoding.runner.trunk import output_width
    from genarm.models import load_model

    adapters = [read_adapter(name, folder) for name, folder in arms.items() if name in loras]
    model = load_model(source, dtype)
    for adapter in adapters:
        check_complete(adapter, arms[adapter.name], model)
    if (width := output_width(model)) < vocab:
        raise TokenizerMismatch(
            f"ARM {next(iter(arms))!r} scores {width} tokens, base {base_id!r} has {vocab}",
            hint="train an ARM on this base's tokenizer",
        )
    adapter_of = {name: name if name in loras else None for name in arms}
    return Part(build_trunk(model, adapters, vocab, compiled=compiled), adapter_of, draft=draft)
