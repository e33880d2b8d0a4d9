"""An ARM on disk: a plain folder, and `arm.json` which says what it is and proves that it is whole.

adapter     a PEFT folder: a LoRA on the model that the card names
full model  a transformers folder with its tokenizer: all weights were trained, none are the base's
"""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genarm.errors import AdapterError, DataError, TokenizerMismatch
from genarm.models.model_files import one_line
from genarm.models.source import ModelSource, resolve
from genarm.models.weights import weights_hash
from genarm.system.files import read_json, read_value, sha256, write_json
from genarm.types import ArmCard

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

CARD = "arm.json"
CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
FULL = "config.json"  # what tells a full model from an adapter


def is_full(folder: Path) -> bool:
    """Whether a folder holds a model of its own, and no adapter."""
    return (folder / FULL).is_file() and not (folder / CONFIG).is_file()


def files(folder: Path) -> list[str]:
    """What an ARM consists of beside its card."""
    if not is_full(folder):
        return [CONFIG, WEIGHTS]
    return sorted(path.name for path in folder.iterdir() if path.is_file() and path.name != CARD)


def adapter_hash(folder: Path, *, by_content: bool = False) -> str:
    """sha256 over configuration and weights, of adapter or full model: what decoding depends on, no more.

    An adapter's weights are read each time, a full model's only with `by_content` (see `weights_hash`).
    """
    file = folder / (FULL if is_full(folder) else CONFIG)
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
        weights = (
            weights_hash(folder, by_content=by_content) if file.name == FULL else sha256(folder / WEIGHTS)
        )
    except (OSError, ValueError, RecursionError) as error:  # missing, unreadable, or no JSON
        raise AdapterError(
            f"{folder} is no PEFT folder and no full model: "
            f"{error if isinstance(error, OSError) else f'{file.name}: {one_line(error)}'}",
            hint="train it again: genarm train",
        ) from None
    content = json.dumps(config, sort_keys=True) + weights
    return hashlib.sha256(content.encode()).hexdigest()


def write_card(folder: Path, card: ArmCard) -> ArmCard:
    """Write `arm.json` with the hash of the adapter that lies in `folder` now."""
    card = dataclasses.replace(card, adapter_sha256=adapter_hash(folder))
    write_json(folder / CARD, card)
    return card


def upgrade_card(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a card as they are named now.

    Cards once said `base_*` for the model below the weights, and `guides` only where it was another one.
    """
    if "base_id" not in fields:
        return dict(fields)
    card = dict(fields)
    for name in ("id", "revision", "weights_sha256"):
        card[f"model_{name}"] = card.pop(f"base_{name}", None)
    guides, revision = card.pop("guides", None), card.pop("guides_revision", None)
    card["guides_id"] = guides or card["model_id"]
    card["guides_revision"] = revision if guides else card["model_revision"]
    return card


def read_card(folder: Path, *, by_content: bool = False) -> ArmCard:
    """The card of an ARM, after checking that the adapter beside it is the one it was written for.

    With `by_content` every byte of a full model is read, whatever the size and time of its files.
    """
    try:
        fields = read_json(folder / CARD, dict[str, Any])
        card = read_value(upgrade_card(fields), ArmCard, str(folder / CARD))
    except DataError as error:
        raise AdapterError(str(error)) from None
    actual = adapter_hash(folder, by_content=by_content)
    if actual != card.adapter_sha256:
        raise AdapterError(
            f"{folder} was altered or cut short: its card says sha256 {card.adapter_sha256[:12]}, "
            f"its files give {actual[:12]}",
            hint="restore it from the registry (genarm registry) or DVC (dvc checkout), or train it again",
        )
    return card


def own_source(folder: Path, card: ArmCard | None, base: ModelSource) -> ModelSource:
    """The model that an ARM is, or that its adapter sits on; `base` where that is its model."""
    if card is None or is_full(folder):
        return resolve(str(folder))
    if card.model_weights_sha256 == base.weights_sha256:
        return base
    return resolve(card.model_id, card.model_revision)


def check_fits(card: ArmCard, base: ModelSource, *, shares_weights: bool) -> None:
    """Refuse an ARM made for another tokenizer or, where it adapts the base itself, for other weights."""
    if card.tokenizer_sha256 != base.tokenizer_sha256:
        raise TokenizerMismatch(
            f"ARM {card.dimension!r} was trained on tokenizer {card.tokenizer_sha256[:12]} "
            f"({card.model_id}), base {base.id!r} has {base.tokenizer_sha256[:12]}",
            hint="train an ARM on this base's tokenizer",
        )
    if shares_weights:
        check_weights(card, base)


def check_weights(card: ArmCard, source: ModelSource) -> None:
    """Refuse an adapter on other weights than those that it was trained on."""
    if card.model_weights_sha256 != source.weights_sha256:
        raise AdapterError(
            f"ARM {card.dimension!r} adapts weights {card.model_weights_sha256[:12]} ({card.model_id}), "
            f"base {source.id!r} has {source.weights_sha256[:12]}",
            hint="train an ARM on this base; while the champion is of another one: "
            f"genarm registry rollback {card.dimension} --to 0 --reason 'new base'",
        )


def check_same_tokens(
    name: str, arm: "PreTrainedTokenizerBase", base_id: str, base: "PreTrainedTokenizerBase"
) -> None:
    """Raise TokenizerMismatch naming the first token id that the two tokenizers read differently."""
    theirs = {i: token for token, i in arm.get_vocab().items()}
    ours = {i: token for token, i in base.get_vocab().items()}
    for i in sorted(theirs.keys() | ours.keys()):
        if theirs.get(i) != ours.get(i):
            raise TokenizerMismatch(
                f"ARM {name!r} and base {base_id!r} disagree on token {i}: "
                f"{_shown(theirs.get(i))} against {_shown(ours.get(i))}",
                hint="train an ARM on this base's tokenizer",
            )


def _shown(token: str | None) -> str:
    return "nothing" if token is None else repr(token)
