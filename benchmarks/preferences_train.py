"""Pairs of any file as token ids, and what a model makes of them before and after a training of ours."""

import argparse
import dataclasses
import random
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor, nn
from transformers import set_seed

from genarm.config import TrainConfig
from genarm.data.formats import parse
from genarm.data.mapping import ColumnMap
from genarm.data.recognise import recognise
from genarm.data.refused import Refused
from genarm.data.rows import read_file
from genarm.errors import DataError
from genarm.models import ModelSource, load_model
from genarm.training.callbacks import EvaluationCallback
from genarm.training.logps import causal_lm, prepare
from genarm.training.logps_at_start import Start, logps_at_start
from genarm.training.lora import add_lora, fuse_lora
from genarm.training.token_cache import TokenPairs
from genarm.training.tokens import TokenPair, encode
from genarm.training.trainer import ArmTrainer
from genarm.types import PreferencePair

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

CHUNK = 256  # pairs tokenised together


def drawn(
    file: Path, tokenizer: "PreTrainedTokenizerBase", count: int | None, chosen: argparse.Namespace
) -> tuple[TokenPairs, int]:
    """At most `count` pairs of a file that are short enough, drawn by a fixed seed; how many rows were not.

    Raises DataError where none is left.
    """
    found = recognise(file, file.name)
    if found.format is None:
        raise DataError(f"{file} holds no pairs of a known format: {found.why}", hint=found.hint)
    columns = ColumnMap(found.columns, file.name)
    rows = [row.value for row in read_file(file, file.name, columns.columns)]
    random.Random(0).shuffle(rows)
    pairs: list[TokenPair] = []
    left_out = 0
    for start in range(0, len(rows), CHUNK):
        parsed = [_parsed(columns.row(row), chosen.preferred) for row in rows[start : start + CHUNK]]
        good = [pair for pair in parsed if pair]
        encoded = encode(good, tokenizer)
        fitting = [pair for pair in encoded if pair.row_tokens <= chosen.max_tokens]
        left_out += len(parsed) - len(fitting)
        pairs += fitting
        if count is not None and len(pairs) >= count:
            break
    pairs = pairs[:count]
    if not pairs:
        raise DataError(
            f"{file} has no pair of at most {chosen.max_tokens} tokens", hint="raise --max-tokens"
        )
    lengths = np.array([(len(p.prompt), len(p.chosen), len(p.rejected)) for p in pairs], dtype=np.int64)
    rows_of_ids = [dataclasses.asdict(pair) for pair in pairs]
    return TokenPairs(file.name, rows_of_ids, np.arange(len(pairs)), lengths), left_out


def loaded(source: ModelSource, chosen: argparse.Namespace) -> "PreTrainedModel":
    """The base on the device that was asked for."""
    model = load_model(source, chosen.dtype)
    nn.Module.to(model, chosen.device)
    return model


def before_training(
    source: ModelSource, chosen: argparse.Namespace, data: TokenPairs, test: TokenPairs
) -> Start:
    """What the base gives all responses: the start of every training here."""
    model = loaded(source, chosen)
    packed = prepare(model, data)
    return Start(
        *(logps_at_start(model, pairs, packed=packed, title="before training") for pairs in (data, test))
    )


def adapted_base(source: ModelSource, chosen: argparse.Namespace, config: TrainConfig) -> Any:
    """The base with a fresh adapter of this seed."""
    set_seed(config.seed)
    model = loaded(source, chosen)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft's
        return add_lora(model, config.lora)


def ours(
    source: ModelSource,
    chosen: argparse.Namespace,
    config: TrainConfig,
    data: TokenPairs,
    test: TokenPairs,
    start: Start,
) -> Tensor:
    """Train an ARM; log p(chosen) - log p(rejected) of each test pair after the last step [p]."""
    adapted = adapted_base(source, chosen, config)
    packed = prepare(causal_lm(adapted), data)
    fuse_lora(adapted)
    title = f"{config.objective}, layers {config.lora.layers}, seed {config.seed}"
    with tempfile.TemporaryDirectory() as folder:
        trainer = ArmTrainer(
            *(adapted, config, data, test, Path(folder)),
            title=title,
            packed=packed,
            start=start if config.objective == "dpo" else None,
        )
        trainer.remove_callback(EvaluationCallback)  # the evaluation before the first step is known
        trainer.run(title)
    margins = trainer.validation.margins
    if margins is None:
        raise AssertionError("the last evaluation left no margins")
    return margins


def _parsed(row: object, preferred: Any) -> PreferencePair | None:
    try:
        return parse(row, preferred=preferred)
    except Refused:
        return None
