"""Pairs of several dimensions to a PARM: one adapter, and its folder.

The same inputs on the same machine give the same bytes, also when the training was killed and run again.
"""

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from transformers import set_seed

from genarm.baselines.parm.adapter import add_bilinear
from genarm.baselines.parm.mixing import joined
from genarm.baselines.parm.plain import save_parm
from genarm.baselines.parm.settings import ParmConfig
from genarm.baselines.parm.trainer import ParmTrainer, dimension_name
from genarm.config import TrainConfig
from genarm.models import ModelSource, context_of, load_tokenizer
from genarm.models.arm_card import card_of
from genarm.models.bilinear import Conditioning
from genarm.system import metric_names as names
from genarm.system.files import sha256
from genarm.training.callbacks import Journal, quiet
from genarm.training.checkpoints import clear, disk_errors_named, open_folder, training_key
from genarm.training.logps import prepare
from genarm.training.logps_at_start import start_of
from genarm.training.process_group import initialise, is_main_process
from genarm.training.token_cache import OverLong, TokenPairs
from genarm.training.train import EXECUTION, at_most, load_split, training_metrics
from genarm.training.trainable import arm_source, check_vocabulary, check_width, load_arm_model
from genarm.types import ArmCard, Provenance

OF_EACH = (names.ACCURACY, names.IMPLICIT_ACCURACY, names.IMPLICIT_MARGIN, names.LOSS, names.KL_TO_BASE)


@dataclass(frozen=True, slots=True)
class ParmResult:
    """Card and metrics of a trained PARM, curves, and the pairs that were refused, by dimension."""

    card: ArmCard
    metrics: dict[str, float]
    curves: list[dict[str, float]]
    refused: dict[str, list[OverLong]]


def train_parm(
    train: Mapping[str, Path],
    validation: Mapping[str, Path],
    *,
    name: str,
    base: ModelSource,
    dtype: str,
    config: TrainConfig,
    parm: ParmConfig,
    out: Path,
    checkpoints: Path,
    provenance: Provenance,
    journal: Journal = quiet,
) -> ParmResult:
    """Train a PARM that guides `base` and write it to `out`; a training that was cut short is resumed.

    `train` and `validation` have a file of pairs for each dimension, in the order that the vector is to have.
    `config` says all that it says of an ARM's training, of `lora` its layers and targets; `max_pairs` counts
    for each dimension. The metrics are means over the dimensions, each measured at the vector that is all
    that dimension, with those of each behind a stroke: `validation/implicit_accuracy/positive`. The same of
    the pairs of one dimension at the vector of another is `validation/implicit_accuracy/positive/at/plain`.

    Raises what `genarm.training.train.train_arm` raises, and ConfigError for settings that PARM lacks.
    """
    begun = time.monotonic()
    dimensions = [*train]
    if dimensions != [*validation]:
        raise ValueError(f"dimensions of training {dimensions} and validation {[*validation]}")
    parm.check(config, dimensions)
    initialise()
    set_seed(config.seed)
    arm_model, tokenizer = arm_source(base, config), load_tokenizer(base)
    check_vocabulary(name, arm_model, base, tokenizer)
    model = load_arm_model(arm_model, dtype, config, None)
    check_width(name, model, tokenizer)

    # The pairs of each dimension as token ids.
    context, refused = context_of(model), dict[str, list[OverLong]]()
    data, held_out = dict[str, TokenPairs](), dict[str, TokenPairs]()
    for dimension in dimensions:
        pairs, left_out = load_split(train[dimension], "training", dimension, tokenizer, context, config)
        held_out[dimension], left_out_too = load_split(
            validation[dimension], "validation", dimension, tokenizer, context, config
        )
        data[dimension], refused[dimension] = at_most(pairs, config), [*left_out, *left_out_too]
    together, held_out_together = (joined([*pairs.values()]) for pairs in (data, held_out))

    # Checkpoints, used only if everything that decides the result is the same.
    settings = {
        "dtype": dtype,
        **config.model_dump(mode="json", exclude=EXECUTION),
        "parm": {**parm.model_dump(mode="json"), "dimensions": dimensions},
    }
    fingerprints = {"pairs": together.fingerprint, "held_out": held_out_together.fingerprint}
    key = training_key(arm_model.weights_sha256, settings, *fingerprints.values())
    inputs = {"weights": arm_model.weights_sha256, "settings": settings, **fingerprints}
    folder = open_folder(checkpoints, key, inputs)

    # Training.
    packed = prepare(model, together)
    conditioning = Conditioning(tuple(dimensions), parm.rank, parm.conditioned_rank)
    adapted, vector = add_bilinear(model, parm.lora(config), conditioning, config.seed)
    title = f"train {name}"
    start = start_of(
        *(adapted, together, held_out_together, config),
        packed=packed,
        title=title,
        weights=arm_model.weights_sha256,
        dtype=dtype,
    )
    trainer = ParmTrainer(
        *(adapted, vector, config, parm, data, held_out, folder),
        title=title,
        packed=packed,
        journal=journal,
        start=start,
    )
    trainer.run(name)
    metrics = training_metrics(trainer, time.monotonic() - begun) | _by_dimension(trainer)
    trainer.gather_weights()

    # The PARM: a folder and its card.
    digest = hashlib.sha256("".join(sha256(file) for file in train.values()).encode())
    card = card_of(
        name,
        base,
        provenance,
        sits_on=arm_model,
        beta=config.beta,
        pairs_sha256=digest.hexdigest(),
        params=settings,
        metrics=metrics,
        dtype=dtype,
    )
    if is_main_process():
        with disk_errors_named(out):
            card = save_parm(adapted, conditioning, out, card)
    clear(checkpoints)
    return ParmResult(card, metrics, trainer.curves, refused)


def _by_dimension(trainer: ParmTrainer) -> dict[str, float]:
    """What the kept step's evaluation says of each dimension, and the vectors of the others."""
    evaluated = [row for row in trainer.curves if names.is_evaluation_row(row)]
    kept = next(row for row in evaluated if row[names.STEP] == trainer.kept_step)
    told = {}
    for dimension, own in zip(trainer.dimensions, trainer.validations, strict=True):
        told[f"validation/{dimension_name(names.LONGER_IS_CHOSEN, dimension)}"] = own.longer_is_chosen
        for name in OF_EACH:
            of_one = dimension_name(name, dimension)
            if (key := names.evaluation_name(of_one)) in kept:
                told[f"validation/{of_one}"] = kept[key]
    for (dimension, other), accuracy in trainer.implicit_accuracy_elsewhere().items():
        told[f"validation/{dimension_name(names.IMPLICIT_ACCURACY, dimension)}/at/{other}"] = accuracy
    return told
