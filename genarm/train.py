"""Preference pairs to an ARM: a plain PEFT folder and its card, on transformers.Trainer.

The same inputs on the same machine give the same bytes, also when the training was killed and run again.
"""

import json
import logging
import random
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import set_seed

from genarm import checkpoints as saved
from genarm.arms import CONFIG, write_card
from genarm.config import TrainConfig
from genarm.errors import DataError
from genarm.files import sha256, write_json
from genarm.lengths import longer_is_chosen
from genarm.logps import prepare
from genarm.lora import adapt, fuse
from genarm.models import ModelSource, context_of, load_model, load_tokenizer
from genarm.tokenised import OverLong, TokenPairs, tokenise
from genarm.trainer import ArmTrainer
from genarm.types import ArmCard
from genarm.watch import Watch

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TrainResult:
    """What a training came to, and how it went: one row a step, and one an evaluation."""

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
    weight: float,
    data_md5: str | None,
    git_commit: str | None,
) -> TrainResult:
    """Train an adapter on `base` and write it to `out`; resumes from `checkpoints` where it was cut short.

    `train` and `validation` are files of pairs. A pair beyond the model's context is left out and named,
    unless `config.truncate` says where to cut it.

    Raises DataError for a split with no pairs, ConfigError for adapters that do not fit the model or packs
    that do not hold the longest pair, TrainingError for a loss that is not a number, a disk that cannot be
    written, or a stop by signal.
    """
    begun = time.monotonic()
    set_seed(config.seed)
    model, tokenizer = load_model(base, dtype), load_tokenizer(base)
    context = context_of(model)
    refused: list[OverLong] = []
    splits = []
    for name, file in (("training", train), ("validation", validation)):
        found, over_long = tokenise(file, tokenizer).within(context, config.truncate)
        _report(dimension, name, found, over_long)
        splits.append(found)
        refused += over_long
    data, held_out = _at_most(splits[0], config), splits[1]
    settings = {"dtype": dtype, **config.model_dump(mode="json", exclude={"checkpoint_minutes"})}
    folder = saved.open_folder(checkpoints, _key(base, settings, data, held_out))
    packed = prepare(model, data)
    adapted = adapt(model, config.lora)
    fuse(adapted)
    watch = Watch(f"train {dimension}", config.checkpoint_minutes)
    trainer = ArmTrainer(adapted, config, data, held_out, folder, watch, packed)
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
                pairs_sha256=sha256(train),
                data_md5=data_md5,
                git_commit=git_commit,
                params=settings,
                metrics={k: v for k, v in metrics.items() if "second" not in k},
            ),
        )
    shutil.rmtree(folder, ignore_errors=True)
    return TrainResult(card, metrics, trainer.curves, refused)


def _report(dimension: str, name: str, pairs: TokenPairs, refused: list[OverLong]) -> None:
    """Name the pairs that are left out; raise DataError where none is left."""
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


def _at_most(pairs: TokenPairs, config: TrainConfig) -> TokenPairs:
    """`max_pairs` of the pairs, chosen by the seed and left in their order."""
    if config.max_pairs is None or config.max_pairs >= len(pairs):
        return pairs
    return pairs.take(sorted(random.Random(config.seed).sample(range(len(pairs)), config.max_pairs)))


def _key(base: ModelSource, settings: object, *splits: TokenPairs) -> str:
    return saved.training_key(base.weights_sha256, settings, *(s.fingerprint for s in splits))


def _metrics(trainer: "ArmTrainer", seconds: float) -> dict[str, float]:
    before, after = ([row for row in trainer.curves if "eval/loss" in row][i] for i in (0, -1))
    beta = trainer.config.beta
    return {
        "train/pairs": float(len(trainer.data)),
        "train/steps": float(trainer.state.max_steps),
        "train/tokens": float(trainer.plan.tokens),
        "train/loss": [row["loss"] for row in trainer.curves if "loss" in row][-1],
        "train/seconds": seconds,
        "validation/pairs": float(len(trainer.held_out)),
        "validation/accuracy_before": before["eval/rewards/accuracies"],
        "validation/accuracy": after["eval/rewards/accuracies"],
        "validation/longer_is_chosen": longer_is_chosen(trainer.held_out.lengths[:, 1:].tolist()),
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
