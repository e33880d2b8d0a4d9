"""An ARM on disk: a plain PEFT folder, and `arm.json` which says what it is and proves that it is whole."""

import dataclasses
import hashlib
import json
from pathlib import Path

from genarm.errors import AdapterError, DataError, TokenizerMismatch
from genarm.files import read_json, sha256, write_json
from genarm.models import ModelSource
from genarm.types import ArmCard

CARD = "arm.json"
CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"


def adapter_hash(folder: Path) -> str:
    """sha256 over the adapter's configuration and weights: what decoding depends on, and nothing else."""
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        weights = sha256(folder / WEIGHTS)
    except (OSError, ValueError) as error:  # missing, unreadable, or no JSON
        raise AdapterError(
            f"{folder} is no PEFT folder: {error}", hint="train it again: genarm train"
        ) from None
    content = json.dumps(config, sort_keys=True) + weights
    return hashlib.sha256(content.encode()).hexdigest()


def write_card(folder: Path, card: ArmCard) -> ArmCard:
    """Write `arm.json` with the hash of the adapter that lies in `folder` now."""
    card = dataclasses.replace(card, adapter_sha256=adapter_hash(folder))
    write_json(folder / CARD, card)
    return card


def read_card(folder: Path) -> ArmCard:
    """The card of an ARM, after checking that the adapter beside it is the one it was written for."""
    try:
        card = read_json(folder / CARD, ArmCard)
    except DataError as error:
        raise AdapterError(str(error)) from None
    found = adapter_hash(folder)
    if found != card.adapter_sha256:
        raise AdapterError(
            f"{folder} was altered or cut short: its card says sha256 {card.adapter_sha256[:12]}, "
            f"its files give {found[:12]}",
            hint="restore it from the registry (genarm registry) or DVC (dvc checkout), or train it again",
        )
    return card


def check_fits(card: ArmCard, base: ModelSource, *, shares_weights: bool) -> None:
    """Refuse an ARM made for another tokenizer or, where it adapts the base itself, for other weights."""
    if card.tokenizer_sha256 != base.tokenizer_sha256:
        raise TokenizerMismatch(
            f"ARM {card.dimension!r} was trained on tokenizer {card.tokenizer_sha256[:12]} ({card.base_id}), "
            f"base {base.id!r} has {base.tokenizer_sha256[:12]}",
            hint="train an ARM on this base's tokenizer",
        )
    if shares_weights and card.base_weights_sha256 != base.weights_sha256:
        raise AdapterError(
            f"ARM {card.dimension!r} adapts weights {card.base_weights_sha256[:12]} ({card.base_id}), "
            f"base {base.id!r} has {base.weights_sha256[:12]}",
            hint="train an ARM on this base; while the champion is of another one: "
            f"genarm registry rollback {card.dimension} --to 0 --reason 'new base'",
        )
