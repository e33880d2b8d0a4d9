"""Preference pairs to an ARM: a plain folder and its card, on transformers.Trainer.

The same inputs on the same machine give the same bytes, also when the training was killed and run again.
"""

import logging
import random
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers import set_seed

from genarm.config import TrainConfig
from genarm.errors import DataError
from genarm.models import ModelSource, context_of, load_tokenizer
from genarm.models.arm import adapter_hash, write_card
from genarm.models.arm_card import card_of
from genarm.system import metric_names as names
from genarm.system.files import sha256
from genarm.training.callbacks import Journal, quiet
from genarm.training.checkpoints import clear, disk_errors_named, open_folder, training_key
from genarm.training.full import save_full_model
from genarm.training.logps import prepare
from genarm.training.logps_at_start import start_of
from genarm.training.lora import save_adapter
from genarm.training.process_group import initialise, is_main_process
from genarm.training.token_cache import OverLong, TokenPairs, tokenise
from genarm.training.trainable import (
    arm_source,
    check_vocabulary,
    check_width,
    load_arm_model,
    make_trainable,
)
from genarm.training.trainer import ArmTrainer
from genarm.types import ArmCard, Provenance

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

DIAGNOSTICS = (
    names.CHOSEN_DRIFT,
    names.REJECTED_DRIFT,
    names.CHOSEN_PERPLEXITY,
    names.KL_TO_BASE,
    names.SUM_BRIER,
    names.SUM_CALIBRATION,
    names.IMPLICIT_ACCURACY,
    names.IMPLICIT_MARGIN,
    names.IMPLICIT_BRIER,
    names.IMPLICIT_CALIBRATION,
    *(names.stratum_name(part) for part in names.STRATA),
    *(names.stratum_name(part, names.IMPLICIT_ACCURACY) for part in names.STRATA),
)
# Settings that the result does not depend on: a checkpoint is used whatever they are.
EXECUTION = {"checkpoint_minutes", "gradient_checkpointing", "launcher", "processes", "accelerate_config"}

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TrainResult:
    """Card and metrics of a trained ARM, curves (a row for each step and evaluation), and refused pairs."""

    card: ArmCard
    metrics: dict[str, float]
    curves: list[dict[str, float]]
    refused: list[OverLong]


def train_arm(
    train: Path,
    validation: Path,
    *,
    dimension: str,
    base: ModelSource,
    dtype: str,
    config: TrainConfig,
    out: Path,
    checkpoints: Path,
    provenance: Provenance,
    start: Path | None = None,
    journal: Journal = quiet,
) -> TrainResult:
    """Train an ARM that guides `base` and write it to `out`; a training that was cut short is resumed.

    `train` and `validation` are files of pairs. A pair beyond the model's context is left out and named,
    unless `config.truncate` says where to cut it. `start` is the folder of an ARM to start from instead of
    from scratch, `checkpoints` the folder to resume from. `provenance` goes to the card as it is. `journal`
    takes the rows of the curves as they come. Of several processes, the main one writes.

    Raises DataError for a split with no pairs, ConfigError for adapters that do not fit the model or packs
    that do not hold the longest pair, TokenizerMismatch for a model with other tokens, TrainingError for a
    loss that is not finite, a disk that cannot be written, or a stop by signal.
    """
    begun = time.monotonic()
    initialise()
    set_seed(config.seed)

    # The model that becomes the ARM, which reads text as the base does.
    arm_model, tokenizer = arm_source(base, config), load_tokenizer(base)
    check_vocabulary(dimension, arm_model, base, tokenizer)
    model = load_arm_model(arm_model, dtype, config, start)
    check_width(dimension, model, tokenizer)

    # The pairs as token ids.
    context = context_of(model)
    data, refused = load_split(train, "training", dimension, tokenizer, context, config)
    held_out, refused_too = load_split(validation, "validation", dimension, tokenizer, context, config)
    data = at_most(data, config)

    # Checkpoints, used only if everything that decides the result is the same.
    settings = {"dtype": dtype, **config.model_dump(mode="json", exclude=EXECUTION)}
    weights = arm_model.weights_sha256
    if start is not None:
        weights += f" {adapter_hash(start)}"
    inputs = {"weights": weights, "settings": settings}
    inputs |= {"pairs": data.fingerprint, "held_out": held_out.fingerprint}
    key = training_key(weights, settings, data.fingerprint, held_out.fingerprint)
    folder = open_folder(checkpoints, key, inputs)

    # Training.
    packed = prepare(model, data)
    adapted = make_trainable(model, arm_model, config, start)
    title = f"train {dimension}"
    before = start_of(
        *(adapted, data, held_out, config),
        packed=packed,
        title=title,
        weights=arm_model.weights_sha256,
        dtype=dtype,
        below=None if start is None else arm_model,
    )
    trainer = ArmTrainer(
        *(adapted, config, data, held_out, folder),
        title=title,
        packed=packed,
        journal=journal,
        start=before,
    )
    trainer.run(dimension)
    metrics = training_metrics(trainer, time.monotonic() - begun)
    trainer.gather_weights()

    # The ARM: a folder and its card.
    card = card_of(
        dimension,
        base,
        provenance,
        sits_on=arm_model,
        beta=config.beta,
        pairs_sha256=sha256(train),
        params=settings,
        metrics=metrics,
        dtype=dtype,
        quantise=config.quantise,
    )
    if is_main_process():
        with disk_errors_named(out):
            card = _save(trainer.adapted, tokenizer, out, card)
    clear(checkpoints)
    return TrainResult(card, metrics, trainer.curves, [*refused, *refused_too])


def load_split(
    file: Path,
    name: str,
    dimension: str,
    tokenizer: "PreTrainedTokenizerBase",
    context: int,
    config: TrainConfig,
) -> tuple[TokenPairs, list[OverLong]]:
    """The pairs of a file that fit the context, and those left out, which a warning names.

    Raises DataError where no pair is left.
    """
    pairs, refused = tokenise(file, tokenizer).within(context, config.truncate)
    if refused:
        first = ", ".join(f"{r.prompt_id} ({r.prompt} + {r.response} tokens)" for r in refused[:3])
        log.warning(
            "%s: %d of %d %s pairs are left out, %s: %s; train.truncate would cut them",
            *(dimension, len(refused), len(pairs) + len(refused), name, refused[0].reason, first),
        )
    if not len(pairs):
        raise DataError(
            f"{dimension} has no {name} pairs" + (f", all {len(refused)} are over-long" if refused else ""),
            hint="give it more or shorter prompts, change pairs.validation and pairs.evaluation in "
            "params.yaml, or set train.truncate",
        )
    return pairs, refused


def at_most(pairs: TokenPairs, config: TrainConfig) -> TokenPairs:
    """`max_pairs` of the pairs, drawn by the seed and kept in their order."""
    if config.max_pairs is None or config.max_pairs >= len(pairs):
        return pairs
    return pairs.take(sorted(random.Random(config.seed).sample(range(len(pairs)), config.max_pairs)))


def training_metrics(trainer: ArmTrainer, seconds: float) -> dict[str, float]:
    """The metrics of a whole training; margins in nats, without beta."""
    evaluated = [row for row in trainer.curves if names.is_evaluation_row(row)]
    before, after = evaluated[0], next(row for row in evaluated if row[names.STEP] == trainer.kept_step)
    beta = trainer.config.beta
    return {
        "train/pairs": float(len(trainer.data)),
        "train/steps": float(trainer.state.global_step),
        **({"train/kept_step": float(trainer.kept_step)} if trainer.config.early_stopping else {}),
        "train/tokens": float(trainer.steps.tokens),
        "train/loss": [row[names.LOSS] for row in trainer.curves if names.LOSS in row][-1],
        "train/seconds": seconds,
        "validation/pairs": float(len(trainer.held_out)),
        "validation/accuracy_before": before[names.EVALUATION_ACCURACY],
        "validation/accuracy": after[names.EVALUATION_ACCURACY],
        "validation/longer_is_chosen": trainer.validation.longer_is_chosen,
        **{
            f"validation/{names.stratum_name(part, 'pairs')}": float(chosen.sum())
            for part, chosen in trainer.validation.strata.items()
        },
        "validation/margin_before": before[names.EVALUATION_MARGIN] / beta,
        "validation/margin": after[names.EVALUATION_MARGIN] / beta,
        "validation/loss": after[names.EVALUATION_LOSS],
        **{
            f"validation/{name}": after[key]
            for name in DIAGNOSTICS
            if (key := names.evaluation_name(name)) in after
        },
    }


def _save(model: Any, tokenizer: "PreTrainedTokenizerBase", out: Path, card: ArmCard) -> ArmCard:
    """Write the folder beside `out`, then rename it: `out` holds the old ARM or the new one, complete."""
    beside, old = (out.with_name(f".{out.name}.{kind}") for kind in ("new", "old"))
    for folder in (beside, old):
        shutil.rmtree(folder, ignore_errors=True)
    if hasattr(model, "peft_config"):
        save_adapter(model, beside, card.model_id, card.model_revision)
    else:
        save_full_model(model, tokenizer, beside, card.dtype or "float32")
    card = write_card(beside, card)
    if out.exists():
        out.rename(old)
    beside.rename(out)
    shutil.rmtree(old, ignore_errors=True)
    return card
