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
from genarm.data.lengths import longer_is_chosen
from genarm.errors import DataError
from genarm.models import ModelSource, context_of, load_tokenizer
from genarm.models.arm import adapter_hash, write_card
from genarm.system.files import sha256
from genarm.training import checkpoints as saved
from genarm.training import process_group as ranks
from genarm.training.full import save_whole
from genarm.training.logps import prepare
from genarm.training.lora import save_adapter
from genarm.training.token_cache import OverLong, TokenPairs, tokenise
from genarm.training.trainable import check_vocabulary, check_width, load, make_trainable, own_model
from genarm.training.trainer import ArmTrainer, Journal, quiet
from genarm.training.watch import Watch
from genarm.types import ArmCard, Champion

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

HEALTH = ("drift/chosen", "drift/rejected", "perplexity/chosen", "kl_to_base")
# How a training runs, which its result does not depend on: none of it keeps a checkpoint from being used.
HOW = {"checkpoint_minutes", "gradient_checkpointing", "launcher", "processes", "accelerate_config"}

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
    start: Path | None = None,
    started_from: Champion | None = None,
    journal: Journal = quiet,
) -> TrainResult:
    """Train an ARM that guides `base` and write it to `out`; goes on from `checkpoints` if cut short.

    `start` is the folder of an ARM to go on from instead of anew, `started_from` the version that it is of.
    `train` and `validation` are files of pairs. A pair beyond the model's context is left out and named,
    unless `config.truncate` says where to cut it. `journal` takes the rows of the curves as they come. Of
    several processes the first one writes.

    Raises DataError for a split with no pairs, ConfigError for adapters that do not fit the model or packs
    that do not hold the longest pair, TokenizerMismatch for a model with other tokens, TrainingError for a
    loss that is not a number, a disk that cannot be written, or a stop by signal.
    """
    begun = time.monotonic()
    ranks.join()
    set_seed(config.seed)
    own, tokenizer = own_model(base, config), load_tokenizer(base)
    check_vocabulary(dimension, own, base, tokenizer)
    model = load(own, dtype, config, start)
    check_width(dimension, model, tokenizer)
    context = context_of(model)
    refused: list[OverLong] = []
    splits = []
    for name, file in (("training", train), ("validation", validation)):
        found, over_long = tokenise(file, tokenizer).within(context, config.truncate)
        _report(dimension, name, found, over_long)
        splits.append(found)
        refused += over_long
    data, held_out = _at_most(splits[0], config), splits[1]
    settings = {"dtype": dtype, **config.model_dump(mode="json", exclude=HOW)}
    began = own.weights_sha256 if start is None else adapter_hash(start)
    said = {"weights": began, "settings": settings}
    said |= {"pairs": data.fingerprint, "held_out": held_out.fingerprint}
    folder = saved.open_folder(checkpoints, _key(began, settings, data, held_out), said)
    packed = prepare(model, data)
    adapted = make_trainable(model, own, config, start)
    watch = Watch(f"train {dimension}", config.checkpoint_minutes)
    trainer = ArmTrainer(adapted, config, data, held_out, folder, watch, packed, journal)
    trainer.run(dimension)
    metrics = _metrics(trainer, time.monotonic() - begun)
    trainer.gather()
    card = ArmCard(
        dimension=dimension,
        model_id=own.id,
        model_revision=own.revision,
        model_weights_sha256=own.weights_sha256,
        guides_id=base.id,
        guides_revision=base.revision,
        tokenizer_sha256=base.tokenizer_sha256,
        adapter_sha256="",
        beta=config.beta,
        weight=weight,
        pairs_sha256=sha256(train),
        data_md5=data_md5,
        git_commit=git_commit,
        params=settings,
        metrics={k: v for k, v in metrics.items() if "second" not in k},
        dtype=dtype,
        quantise=config.quantise,
        warm_start=started_from,
    )
    if ranks.is_first():
        with saved.writing(out):
            card = _save(trainer.adapted, tokenizer, out, card)
    saved.clear(checkpoints)
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


def _key(weights: str, settings: object, *splits: TokenPairs) -> str:
    return saved.training_key(weights, settings, *(s.fingerprint for s in splits))


def _metrics(trainer: "ArmTrainer", seconds: float) -> dict[str, float]:
    evaluated = [row for row in trainer.curves if "eval/loss" in row]
    before, after = evaluated[0], next(row for row in evaluated if row["step"] == trainer.best.step)
    beta = trainer.config.beta
    return {
        "train/pairs": float(len(trainer.data)),
        "train/steps": float(trainer.state.global_step),
        **({"train/kept_step": float(trainer.best.step)} if trainer.config.early_stopping else {}),
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
        **{f"validation/{name}": after[f"eval/{name}"] for name in HEALTH if f"eval/{name}" in after},
    }


def _save(model: Any, tokenizer: "PreTrainedTokenizerBase", out: Path, card: ArmCard) -> ArmCard:
    """Write the folder beside `out`, then put it in place: the old ARM or the new one, never half of one."""
    beside, old = (out.with_name(f".{out.name}.{kind}") for kind in ("new", "old"))
    for folder in (beside, old):
        shutil.rmtree(folder, ignore_errors=True)
    if hasattr(model, "peft_config"):
        save_adapter(model, beside, card.model_id, card.model_revision)
    else:
        save_whole(model, tokenizer, beside, card.dtype or "float32")
    card = write_card(beside, card)
    if out.exists():
        out.rename(old)
    beside.rename(out)
    shutil.rmtree(old, ignore_errors=True)
    return card
