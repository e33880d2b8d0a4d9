"""Guided decoding: `load_decoder` gives a decoder for a base model and its ARMs, by name."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from genarm.arms import CARD, CONFIG, check_fits, read_card
from genarm.decoding.guidance import Generation, GuidedDecoder, GuidedRequest
from genarm.errors import AdapterError
from genarm.models import ModelSource

__all__ = ["Generation", "GuidedDecoder", "GuidedRequest", "load_decoder"]
log = logging.getLogger(__name__)


def load_decoder(
    source: ModelSource,
    arms: Mapping[str, Path],
    *,
    dtype: str,
    strategy: Literal["auto", "shared", "separate"] = "auto",
    batch_size: int = 32,
) -> GuidedDecoder:
    """A decoder for a base model and the ARMs in these folders.

    `shared` wants LoRAs on the base's own weights, `separate` takes any model or LoRA with the base's
    tokenizer, `auto` shares where it can. Raises AdapterError or TokenizerMismatch for an ARM that is altered
    or does not fit, before the base's weights are loaded.
    """
    from genarm.decoding import separate, shared

    # Either file says that an adapter is meant, and read_card says what is missing of it.
    adapters = {n: f for n, f in arms.items() if (f / CONFIG).is_file() or (f / CARD).is_file()}
    cards = {name: read_card(folder) for name, folder in adapters.items()}
    if strategy == "auto":
        sharing = all(
            name in cards and cards[name].base_weights_sha256 == source.weights_sha256 for name in arms
        )
        strategy = "shared" if sharing else "separate"
        log.info("decoding with strategy %r", strategy)
    if strategy == "separate":
        return separate.load(source, arms, cards, dtype=dtype, batch_size=batch_size)
    for name, folder in arms.items():
        if name not in cards:
            raise AdapterError(
                f"ARM {name!r} at {folder} is no PEFT folder, so it shares no weights with the base",
                hint="decode with strategy 'separate'",
            )
        check_fits(cards[name], source, shares_weights=True)
    return shared.load(source, arms, dtype=dtype, batch_size=batch_size)
