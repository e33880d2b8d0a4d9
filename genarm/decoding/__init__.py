"""Guided decoding: `load_decoder` gives a decoder for a base model and its ARMs, by name."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from genarm.decoding.guidance import (
    GuidedDecoder,
    GuidedRequest,
    GuidedResponse,
    Piece,
    Session,
    Stream,
    TokenRewards,
)
from genarm.errors import AdapterError, ConfigError
from genarm.models import DeviceMap, ModelSource
from genarm.models.arm import CARD, CONFIG, check_fits, is_full, read_card
from genarm.types import ArmCard

__all__ = [
    "GuidedDecoder", "GuidedRequest", "GuidedResponse", "Piece", "Session", "Stream", "TokenRewards",
    "load_decoder",
]  # fmt: skip
log = logging.getLogger(__name__)


def load_decoder(
    source: ModelSource,
    arms: Mapping[str, Path],
    *,
    dtype: str,
    strategy: Literal["auto", "shared", "separate"] = "auto",
    batch_size: int = 32,
    speculate: bool = False,
    device_map: DeviceMap | None = None,
    compiled: bool = False,
) -> GuidedDecoder:
    """A decoder for a base model and the ARMs in these folders, `batch_size` requests at a time.

    `shared` wants LoRAs on the base's own weights, `separate` takes any model or LoRA with the base's
    tokenizer, `auto` shares where it can, ARM by ARM. With `speculate` the first ARM of other weights drafts
    and the guided policy verifies. `compiled` spends a minute at the start on compiling the layers, and on a
    GPU records each step as a graph. Raises AdapterError or TokenizerMismatch for an ARM that is altered or
    does not fit, before the base's weights are loaded, and ConfigError where no ARM could draft.
    """
    from genarm.decoding.engine.engine import Engine
    from genarm.decoding.load import load_parts
    from genarm.decoding.runner.adapter_files import read_adapter
    from genarm.decoding.runner.ensemble import Part
    from genarm.decoding.runner.trunk import Trunk, vocabulary
    from genarm.models import load_model, load_tokenizer

    # Either file says that an ARM of ours is meant, and read_card says what is missing of it.
    ours = {n: f for n, f in arms.items() if (f / CONFIG).is_file() or (f / CARD).is_file()}
    told = {name: read_card(folder) for name, folder in ours.items()}
    cards = {name: card for name, card in told.items() if not is_full(arms[name])}
    for name, card in told.items():
        _compare_precision(name, card, dtype)
        if name not in cards:
            check_fits(card, source, shares_weights=False)
    fitting = {n for n, card in cards.items() if card.model_weights_sha256 == source.weights_sha256}
    shared = {n: f for n, f in arms.items() if strategy == "shared" or (strategy == "auto" and n in fitting)}
    for name, folder in shared.items():
        if name not in cards:
            raise AdapterError(
                f"ARM {name!r} at {folder} is no PEFT folder, so it shares no weights with the base",
                hint="decode with strategy 'separate'",
            )
        check_fits(cards[name], source, shares_weights=True)
    others = {name: folder for name, folder in arms.items() if name not in shared}
    if speculate and not others:
        raise ConfigError(
            "speculation needs an ARM with a model of its own, smaller than the base, and here is none",
            hint="leave `speculate` out: ARMs on the base's own weights cost little",
        )
    log.info("sharing the base's weights: %s; models of their own: %s", list(shared), list(others))
    factors = [read_adapter(name, folder) for name, folder in shared.items()]
    tokenizer, model = load_tokenizer(source), load_model(source, dtype, device_map)
    vocab = vocabulary(model, tokenizer)
    parts = load_parts(
        source, others, cards, tokenizer, dtype=dtype, vocab=vocab, speculate=speculate, compiled=compiled
    )
    base = Part(Trunk(model, factors, vocab, compiled=compiled), {name: name for name in shared}, base=True)
    return Engine([base, *parts], tokenizer, slots=batch_size, speculate=speculate)


def _compare_precision(name: str, card: ArmCard, dtype: str) -> None:
    """Warn where an ARM is read in another precision than it was trained in: its rewards are then others."""
    trained = f"{card.quantise} weights" if card.quantise else card.dtype
    if trained not in (None, dtype):
        log.warning(
            "ARM %r was trained on %s and is read in %s, which moves its rewards a little; %s",
            *(name, trained, dtype),
            "train with quantise: null to stop this"
            if card.quantise
            else f"base.dtype: {trained} stops this",
        )
