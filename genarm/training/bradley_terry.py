"""A Bradley-Terry reward model, trained by TRL: the only file that knows it.

    loss = -log sigmoid(r(chosen) - r(rejected)) + centre * mean((r(chosen) + r(rejected))^2)

TRL drops pairs that are longer than its `max_length` without a word, so it is given tokens of pairs that were
measured and counted before, in an order of ours, with pairs of like length in a batch. transformers reads the
score at the last token that is not the padding token, so the padding token is one that ends no text.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genarm.config.judge_training import JudgeTraining
from genarm.errors import JudgeError, ModelError
from genarm.models import ModelSource
from genarm.models.quiet_loading import quiet_loading
from genarm.models.source import read_tokenizer
from genarm.system import metric_names as names
from genarm.system.progress import ProgressDisplay
from genarm.system.verbosity import Verbosity, verbosity
from genarm.training import stock_trainer
from genarm.training.like_lengths import by_like_lengths

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

EXTRA = "pip install 'genarm[judges]'"
HEAD = "score"


@dataclass(frozen=True, slots=True)
class RatedPair:
    """The token ids of a prompt with its better and with its worse response."""

    chosen: list[int]
    rejected: list[int]


def require_trl() -> None:
    """Raise JudgeError where TRL is not installed."""
    stock_trainer.require_trl("genarm train-judge", EXTRA, JudgeError)


@stock_trainer.libraries_quiet()
def train_reward_model(
    base: ModelSource,
    pairs: Sequence[RatedPair],
    config: JudgeTraining,
    work: Path,
    out: Path,
    *,
    dtype: str,
) -> list[dict[str, float]]:
    """Train on `pairs` and write a plain sequence-classification folder to `out`; returns the curves.

    Products are computed in `dtype` and weights kept in float32; float16 is of a GPU, a CPU takes float32.
    `work` holds the checkpoints, from which a training that was killed goes on. Raises ConfigError where the
    model has fewer layers than asked for, ModelError where the loss is no number.
    """
    import torch
    from datasets import Dataset
    from transformers import set_seed
    from trl.trainer.reward_config import RewardConfig
    from trl.trainer.reward_trainer import RewardTrainer

    set_seed(config.seed)
    model, tokenizer = _with_fresh_head(base), _tokenizer(base, pairs)
    lengths = [max(len(pair.chosen), len(pair.rejected)) for pair in pairs]
    order = by_like_lengths(lengths, config.batch_pairs, config.epochs, config.seed)
    steps = math.ceil(len(order) / config.batch_pairs)
    arguments = RewardConfig(
        **stock_trainer.stock_arguments(work, steps, seed=config.seed),
        num_train_epochs=1,  # the order has all of them
        train_sampling_strategy="sequential",
        per_device_train_batch_size=config.batch_pairs,
        learning_rate=config.learning_rate,
        warmup_steps=config.warmup,
        lr_scheduler_type="cosine",
        center_rewards_coefficient=config.centre or None,
        max_length=None,
        activation_checkpointing=False,  # few layers have gradients at all
        bf16=dtype == "bfloat16",
        fp16=dtype == "float16" and torch.cuda.is_available(),
    )
    display = ProgressDisplay("train-judge", quiet=verbosity() is Verbosity.QUIET)
    trainer = RewardTrainer(
        model=model,
        args=arguments,
        train_dataset=Dataset.from_list(
            [{"chosen_ids": pairs[row].chosen, "rejected_ids": pairs[row].rejected} for row in order]
        ),
        processing_class=tokenizer,
        peft_config=_adapter(model, config),
    )
    done = stock_trainer.run_stock(
        trainer,
        display,
        what="the judge",
        hint="lower --learning-rate",
        noted={names.LOSS: names.LOSS, "accuracy": "accuracy"},
        error=ModelError,
    )
    merged: Any = trainer.accelerator.unwrap_model(trainer.model).merge_and_unload()
    merged.config.pad_token_id = tokenizer.pad_token_id
    merged.save_pretrained(out)
    tokenizer.save_pretrained(out)
    return _curves(done.log)


def _with_fresh_head(base: ModelSource) -> "PreTrainedModel":
    """The base with a head of one label, drawn at random: here this is meant. Nothing else may be missing."""
    import torch
    from transformers import AutoModelForSequenceClassification

    try:
        with quiet_loading():
            loaded: Any = AutoModelForSequenceClassification.from_pretrained(
                base.path,
                num_labels=1,
                dtype=torch.float32,
                trust_remote_code=False,
                use_safetensors=True,
                output_loading_info=True,
            )
    except ValueError as error:
        raise ModelError(
            f"transformers makes no sequence classification of {base.id!r}: {error}",
            hint="train the judge in a project with another base model",
        ) from None
    model: PreTrainedModel = loaded[0]
    if (lost := set(loaded[1]["missing_keys"])) != {f"{HEAD}.weight"}:
        raise ModelError(
            f"{base.id!r} lacks {', '.join(sorted(lost - {f'{HEAD}.weight'})) or 'nothing'} of a "
            f"{type(model).__name__} beside its head",
            hint="train the judge in a project with another base model",
        )
    return model


def _tokenizer(base: ModelSource, pairs: Sequence[RatedPair]) -> "PreTrainedTokenizerBase":
    """The base's own, with its template, and with a padding token that ends no text."""
    tokenizer = read_tokenizer(base.path)
    if base.chat_template:
        tokenizer.chat_template = base.chat_template
    ends = {ids[-1] for pair in pairs for ids in (pair.chosen, pair.rejected)}
    if tokenizer.pad_token_id is None or tokenizer.pad_token_id in ends:
        choices = [*tokenizer.all_special_ids, *range(len(tokenizer))]
        tokenizer.pad_token = tokenizer.convert_ids_to_tokens(next(i for i in choices if i not in ends))
    tokenizer.padding_side = "right"
    return tokenizer


def _adapter(model: "PreTrainedModel", config: JudgeTraining) -> Any:
    import peft

    from genarm.models.layers import top_layers  # needs torch

    top = top_layers(model, config.layers, "--layers")
    return peft.LoraConfig(
        r=config.rank,
        lora_alpha=config.alpha,  # type: ignore[arg-type]  # peft's type is int, but any number works
        target_modules=sorted({name.rsplit(".", 1)[-1] for name in top.linear}),
        layers_to_transform=top.indices,
        layers_pattern=top.pattern,
        modules_to_save=[HEAD],
        task_type="SEQ_CLS",
    )


def _curves(history: Sequence[Mapping[str, Any]]) -> list[dict[str, float]]:
    """Loss, accuracy and margin of the logged steps, by the names that they have in the registry."""
    called = {names.LOSS: names.LOSS, "accuracy": names.ACCURACY, "margin": names.MARGIN}
    return [
        {
            names.STEP: float(row[names.STEP]),
            **{own: float(row[name]) for name, own in called.items() if name in row},
        }
        for row in history
        if names.LOSS in row
    ]
