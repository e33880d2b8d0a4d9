"""Preference pairs to an ARM: a plain PEFT folder and its card, on transformers.Trainer.

The same inputs on the same machine give the same bytes, also when the training was killed and run again.
"""

import json
import random
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import set_seed

from genarm import checkpoints as saved
from genarm.accuracy import response_lengths
from genarm.arms import CONFIG, write_card
from genarm.collate import encode
from genarm.config import TrainConfig
from genarm.errors import DataError
from genarm.files import write_json
from genarm.lengths import longer_is_chosen
from genarm.logps import prepare
from genarm.lora import adapt, fuse
from genarm.models import ModelSource, context_of, load_model, load_tokenizer
from genarm.trainer import ArmTrainer
from genarm.types import ArmCard, PreferencePair
from genarm.watch import Watch


@dataclass(frozen=True, slots=True)
class TrainResult:
    """What a training came to, and how it went: one row a step, and one an evaluation."""

    card: ArmCard
    metrics: dict[str, float]
    curves: list[dict[str, float]]


def train_arm(
    train: Sequence[PreferencePair],
    validation: Sequence[PreferencePair],
    *,
    dimension: str,
    base: ModelSource,
    dtype: str,
    config: TrainConfig,
    out: Path,
    checkpoints: Path,
    weight: float,
    pairs_sha256: str,
    data_md5: str | None,
    git_commit: str | None,
) -> TrainResult:
    """Train an adapter on `base` and write it to `out`; resumes from `checkpoints` where it was cut short.

    Raises DataError for an empty split or an over-long pair, ConfigError for adapters that do not fit the
    model, TrainingError for a loss that is not a number, a disk that cannot be written, or a stop by signal.
    """
    for name, pairs in (("training", train), ("validation", validation)):
        if not pairs:
            raise DataError(
                f"{dimension} has no {name} pairs",
                hint="give it more prompts, or change pairs.validation and pairs.evaluation in params.yaml",
            )
    begun = time.monotonic()
    set_seed(config.seed)
    model, tokenizer = load_model(base, dtype), load_tokenizer(base)
    context = context_of(model)
    data = encode(_at_most(train, config), tokenizer, context=context)
    held_out = encode(validation, tokenizer, context=context)
    settings = {"dtype": dtype, **config.model_dump(mode="json", exclude={"checkpoint_minutes"})}
    folder = saved.open_folder(checkpoints, saved.training_key(base.weights_sha256, settings, data, held_out))
    shared = prepare(model, [*data, *held_out])
    adapted = adapt(model, config.lora)
    fuse(adapted)
    watch = Watch(f"train {dimension}", config.checkpoint_minutes)
    trainer = ArmTrainer(adapted, config, data, held_out, folder, watch, shared)
    trainer.run(dimension)
    metrics = _metrics(trainer, time.monotonic() - begun)
    with saved.writing(out):
        card = _save(
            trainer.adapted,
            out,
            ArmCard(
                dimension=dimension,
                base_id=base.id,
                base_revision=base.revision,
                base_weights_sha256=base.weights_sha256,
                tokenizer_sha256=base.tokenizer_sha256,
                adapter_sha256="",
                beta=config.beta,
                weight=weight,
                pairs_sha256=pairs_sha256,
                data_md5=data_md5,
                git_commit=git_commit,
                params=settings,
                metrics={k: v for k, v in metrics.items() if "second" not in k},
            ),
        )
    shutil.rmtree(folder, ignore_errors=True)
    return TrainResult(card, metrics, trainer.curves)


def _at_most(pairs: Sequence[PreferencePair], config: TrainConfig) -> list[PreferencePair]:
    """`max_pairs` of the pairs, chosen by the seed and left in their order."""
    if config.max_pairs is None or config.max_pairs >= len(pairs):
        return list(pairs)
    kept = random.Random(config.seed).sample(range(len(pairs)), config.max_pairs)
    return [pairs[i] for i in sorted(kept)]


def _metrics(trainer: "ArmTrainer", seconds: float) -> dict[str, float]:
    before, after = ([row for row in trainer.curves if "eval/loss" in row][i] for i in (0, -1))
    beta = trainer.config.beta
    return {
        "train/pairs": float(len(trainer.data)),
        "train/steps": float(trainer.state.max_steps),
        "train/tokens": float(sum(trainer.data[i].row_tokens for batch in trainer.batches for i in batch)),
        "train/loss": [row["loss"] for row in trainer.curves if "loss" in row][-1],
        "train/seconds": seconds,
        "validation/pairs": float(len(trainer.held_out)),
        "validation/accuracy_before": before["eval/rewards/accuracies"],
        "validation/accuracy": after["eval/rewards/accuracies"],
        "validation/longer_is_chosen": longer_is_chosen(response_lengths(trainer.held_out)),
        "validation/margin_before": before["eval/rewards/margins"] / beta,
        "validation/margin": after["eval/rewards/margins"] / beta,
        "validation/loss": after["eval/loss"],
    }


def _save(model: Any, out: Path, card: ArmCard) -> ArmCard:
    """Write the folder beside `out`, then put it in place: the old ARM or the new one, never half of one."""
    beside, old = (out.with_name(f".{out.name}.{kind}") for kind in ("new", "old"))
    for folder in (beside, old):
        shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(beside, save_embedding_layers=False)
    (beside / "README.md").unlink(missing_ok=True)  # a template of peft's, with the base's path in it
    config = json.loads((beside / CONFIG).read_text(encoding="utf-8"))
    # The base by its name, not by where it lies on this machine; and peft keeps its targets in a set.
    config |= {"base_model_name_or_path": card.base_id, "revision": card.base_revision}
    config["target_modules"] = sorted(config["target_modules"])
    write_json(beside / CONFIG, config)
    card = write_card(beside, card)
    if out.exists():
        out.rename(old)
    beside.rename(out)
    shutil.rmtree(old, ignore_errors=True)
    return card
