"""TRL's DPOTrainer on the token ids, in the order and with the adapter of ours."""

import argparse
import tempfile
from typing import Any

from datasets import Dataset, disable_progress_bars
from preferences_train import adapted_base
from torch import Tensor
from transformers import PrinterCallback
from trl import DPOConfig, DPOTrainer

from genarm.config import TrainConfig
from genarm.models import ModelSource, load_tokenizer
from genarm.training.logps import causal_lm, prepare
from genarm.training.logps_at_start import Start, logps_at_start
from genarm.training.packing import PackedSteps
from genarm.training.token_cache import TokenPairs

PASS = 2  # pairs of a forward pass


def trl(
    source: ModelSource,
    chosen: argparse.Namespace,
    config: TrainConfig,
    data: TokenPairs,
    test: TokenPairs,
    start: Start,
) -> Tensor:
    """Train by TRL; log p(chosen) - log p(rejected) of each test pair after the last step [p].

    The reference's log-probabilities are given to it, since they are the same.
    """
    disable_progress_bars()
    adapted = adapted_base(source, chosen, config)
    tokenizer: Any = load_tokenizer(source)
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    order = PackedSteps(
        data.row_tokens,
        epochs=config.epochs,
        batch_pairs=config.batch_pairs,
        batch_tokens=2**31,
        seed=config.seed,
    ).order.tolist()
    rows = [
        {
            "prompt_ids": pair.prompt,
            "chosen_ids": pair.chosen,
            "rejected_ids": pair.rejected,
            "ref_chosen_logps": start.train[i, 0].item(),
            "ref_rejected_logps": start.train[i, 1].item(),
        }
        for i, pair in ((i, data[i]) for i in order)
    ]
    with tempfile.TemporaryDirectory() as folder:
        trainer = DPOTrainer(
            adapted,
            args=DPOConfig(
                output_dir=folder,
                per_device_train_batch_size=PASS,
                gradient_accumulation_steps=config.batch_pairs // PASS,
                train_sampling_strategy="sequential",
                num_train_epochs=1,
                learning_rate=config.learning_rate,
                lr_scheduler_type=config.schedule,
                warmup_steps=config.warmup,
                max_grad_norm=config.max_grad_norm,
                beta=config.beta,
                max_length=1 + int(data.lengths.sum(1).max()),  # nothing is cut
                gradient_checkpointing=False,
                bf16=chosen.dtype == "bfloat16",
                use_cpu=chosen.device == "cpu",
                dataloader_pin_memory=chosen.device != "cpu",
                seed=config.seed,
                save_strategy="no",
                report_to="none",
                disable_tqdm=True,
            ),
            train_dataset=Dataset.from_list([{"prompt": "a\n", "chosen": "b", "rejected": "c"}]),
            processing_class=tokenizer,
        )
        # It tokenises texts; these are the ids that ours trains on.
        trainer.train_dataset = Dataset.from_list(rows)
        trainer.precompute_ref_logps = True
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    packed = prepare(causal_lm(trainer.model), test)
    after = logps_at_start(trainer.model, test, packed=packed, title="after training")
    return (after[:, 0] - after[:, 1]).double()
