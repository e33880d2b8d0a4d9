"""SimPO (arXiv 2405.14734), by TRL's CPOTrainer with `loss_type="simpo"` and no term of supervised training.

    loss = -log sigmoid(beta * (mean log p(chosen) - mean log p(rejected)) - gamma), means over tokens

TRL is given our token ids: its own would add a second end to a response, and cuts long pairs without a word.
A training that was killed goes on from TRL's last checkpoint. The order of pairs and all else is then the
same, so it ends with the weights that it would have had (tested on a CPU).
"""

import logging
import math
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from genarm.baselines.training.policy import EXTRA, POLICY, curves_of, replacing
from genarm.baselines.training.settings import SimpoTraining
from genarm.errors import DataError
from genarm.models import ModelSource, context_of, load_model, load_tokenizer
from genarm.models.arm import write_card
from genarm.models.arm_card import card_of
from genarm.system import metric_names as names
from genarm.system.files import sha256
from genarm.system.progress import ProgressDisplay
from genarm.system.verbosity import Verbosity, verbosity
from genarm.training.callbacks import Journal, quiet
from genarm.training.checkpoints import clear, open_folder, training_key
from genarm.training.lora import add_lora, fuse_lora, save_adapter
from genarm.training.stock_trainer import libraries_quiet, require_trl, run_stock, stock_arguments
from genarm.training.token_cache import OverLong, TokenPairs, tokenise
from genarm.training.trained import Trained
from genarm.types import Provenance

CURVES = {
    name: name
    for name in (
        *(names.LOSS, names.GRADIENT_NORM, names.ACCURACY, names.MARGIN),
        *(names.CHOSEN_REWARD, names.REJECTED_REWARD, names.CHOSEN_LOGP, names.REJECTED_LOGP),
    )
}

log = logging.getLogger(__name__)


@libraries_quiet()
def train(
    base: ModelSource,
    pairs: Path,
    *,
    name: str,
    dtype: str,
    config: SimpoTraining,
    out: Path,
    work: Path,
    provenance: Provenance = POLICY,
    journal: Journal = quiet,
) -> Trained:
    """Train on a file of pairs and write the policy to `out`; `work` holds the checkpoints to go on from.

    Raises TrainingError where TRL is not installed or the loss is no number, DataError where no pair is left,
    ConfigError for an adapter that does not fit the model.
    """
    require_trl("SimPO", EXTRA)
    began = time.monotonic()
    from transformers import set_seed
    from trl.experimental.cpo import CPOConfig

    set_seed(config.seed)
    model, tokenizer = load_model(base, dtype), load_tokenizer(base)
    data, refused = _pairs(pairs, tokenizer, context_of(model), config)
    settings = {"method": "simpo", "dtype": dtype, **config.model_dump(mode="json")}
    key = training_key(base.weights_sha256, settings, data.fingerprint)
    adapted = add_lora(model, config.lora)
    steps = math.ceil(len(data) / config.batch_pairs) * config.epochs
    arguments = CPOConfig(
        **stock_arguments(
            open_folder(work, key, {"settings": settings, "pairs": data.fingerprint}), steps, seed=config.seed
        ),
        loss_type="simpo",
        cpo_alpha=0.0,
        beta=config.beta,
        simpo_gamma=config.gamma,
        num_train_epochs=config.epochs,
        per_device_train_batch_size=config.pass_pairs,
        gradient_accumulation_steps=config.batch_pairs // config.pass_pairs,
        learning_rate=config.learning_rate,
        warmup_steps=config.warmup,
        lr_scheduler_type="cosine",
        max_grad_norm=config.max_grad_norm,
        max_length=2**31 - 1,  # longer pairs are left out before, and counted
        remove_unused_columns=False,
        gradient_checkpointing=False,
        bf16=False,  # the weights have the precision that passes run in
    )
    trainer = _trainer(adapted, arguments, data, tokenizer)
    fuse_lora(adapted)
    done = run_stock(
        trainer,
        ProgressDisplay(f"train {name}", quiet=verbosity() is Verbosity.QUIET),
        what=name,
        hint="lower learning_rate",
        noted={names.LOSS: names.LOSS, names.ACCURACY: "accuracy"},
        journal=journal,
    )
    curves = curves_of(done.log, CURVES)
    metrics = {
        "train/pairs": float(len(data)),
        "train/left_out": float(len(refused)),
        "train/steps": float(done.steps),
        "train/loss": curves[-1][names.LOSS],
        "train/seconds": max(done.seconds, time.monotonic() - began),
    }
    with replacing(out) as folder:
        save_adapter(adapted, folder, base.id, base.revision)
        write_card(
            folder,
            card_of(
                name,
                base,
                provenance,
                beta=config.beta,
                pairs_sha256=sha256(pairs),
                params=settings,
                metrics=metrics,
                dtype=dtype,
            ),
        )
    clear(work)
    return Trained(metrics, curves)


def _pairs(
    file: Path, tokenizer: Any, context: int, config: SimpoTraining
) -> tuple[TokenPairs, list[OverLong]]:
    """The pairs that fit the context, at most `max_pairs` of them by the seed; and those too long."""
    whole, refused = tokenise(file, tokenizer).within(context, None)
    if refused:
        log.warning("%s: %d pairs are left out, %s", file, len(refused), refused[0].reason)
    if not len(whole):
        raise DataError(f"{file} has no pair of at most {context} tokens", hint="give it shorter pairs")
    if config.max_pairs is None or config.max_pairs >= len(whole):
        return whole, refused
    chosen = random.Random(config.seed).sample(range(len(whole)), config.max_pairs)
    return whole.take(sorted(chosen)), refused


def _trainer(adapted: Any, arguments: Any, data: Sequence[Any], tokenizer: Any) -> Any:
    from datasets import Dataset
    from trl.experimental.cpo import CPOTrainer

    class OnOurTokens(CPOTrainer):
        """TRL's trainer, given token ids."""

        def tokenize_row(self, feature: dict[str, Any], model: Any = None) -> dict[str, Any]:
            row: dict[str, Any] = {"prompt_input_ids": feature["prompt_ids"]}
            for side in ("chosen", "rejected"):
                prompt, response = feature["prompt_ids"], feature[f"{side}_ids"]
                row[f"{side}_input_ids"] = prompt + response
                row[f"{side}_attention_mask"] = [1] * len(prompt + response)
                row[f"{side}_labels"] = [-100] * len(prompt) + response
            return row

    # TRL takes and adds up log-probabilities in the precision of the logits: in bfloat16 to two digits.
    adapted.get_output_embeddings().register_forward_hook(lambda module, inputs, logits: logits.float())
    text = {"prompt": "", "chosen": "", "rejected": ""}  # columns that TRL looks for, and does not read here
    rows = [
        {**text, "prompt_ids": pair.prompt, "chosen_ids": pair.chosen, "rejected_ids": pair.rejected}
        for pair in data
    ]
    return OnOurTokens(
        model=adapted, args=arguments, train_dataset=Dataset.from_list(rows), processing_class=tokenizer
    )
