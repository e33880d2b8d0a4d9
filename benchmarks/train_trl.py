"""TRL's preference trainers as people use them: a plain model, `peft_config`, texts, their own `train()`."""

from collections.abc import Sequence
from typing import Any

import peft
from datasets import Dataset
from train_pairs import ALPHA, BETA, LEARNING_RATE, RANK, SEED, Job, Pair
from transformers import PreTrainedModel, PreTrainedTokenizerBase, PrinterCallback
from trl import DPOConfig, DPOTrainer
from trl.experimental.cpo import CPOConfig, CPOTrainer

from genarm.models.chat_template import assistant_turn
from genarm.models.layers import decoder_layers, linear_modules


def trainer_of(
    job: Job, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, pairs: Sequence[Pair], folder: str
) -> Any:
    """TRL's trainer on the same pairs in the same order, its token ids checked against ours."""
    stack, layers = decoder_layers(model)
    lowest = 0 if job.layers is None else len(layers) - job.layers
    lora = peft.LoraConfig(
        r=RANK,
        lora_alpha=ALPHA,
        target_modules=sorted({name.rsplit(".", 1)[-1] for name in linear_modules(layers, lowest)}),
        layers_to_transform=None if job.layers is None else [*range(lowest, len(layers))],
        layers_pattern=None if job.layers is None else stack,
        task_type="CAUSAL_LM",
    )
    tokenizer.eos_token = tokenizer.convert_ids_to_tokens(assistant_turn(tokenizer).end)
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    arguments: dict[str, Any] = dict(
        output_dir=folder,
        per_device_train_batch_size=job.trl_pairs,
        gradient_accumulation_steps=job.batch_pairs // job.trl_pairs,
        train_sampling_strategy="sequential",
        num_train_epochs=1,
        learning_rate=LEARNING_RATE,
        lr_scheduler_type="constant",
        beta=BETA,
        max_length=1 + max(pair.tokens for pair in pairs),  # nothing is cut
        gradient_checkpointing=job.checkpointing,
        bf16=job.dtype == "bfloat16",
        use_cpu=job.device == "cpu",
        dataloader_pin_memory=job.device != "cpu",
        seed=SEED,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    rows = Dataset.from_list(
        [{"prompt": p.prompt, "chosen": p.chosen, "rejected": p.rejected} for p in pairs]
    )
    if job.row == "trl_dpo":
        trainer: Any = DPOTrainer(
            model,
            args=DPOConfig(**arguments),
            train_dataset=rows,
            processing_class=tokenizer,
            peft_config=lora,
        )
    else:
        trainer = CPOTrainer(
            model,
            args=CPOConfig(**arguments, loss_type="sigmoid", cpo_alpha=0.0),
            train_dataset=rows,
            processing_class=tokenizer,
            peft_config=lora,
        )
    trainer.remove_callback(PrinterCallback)
    check_ids(trainer.train_dataset, pairs)
    return trainer


def check_ids(rows: Dataset, pairs: Sequence[Pair]) -> None:
    """Raise AssertionError unless TRL trains on the same ids as ours."""
    if len(rows) != len(pairs):
        raise AssertionError(f"TRL trains on {len(rows)} pairs, ours on {len(pairs)}")
    for row, pair in zip(rows, pairs, strict=True):
        for side in ("chosen", "rejected"):
            if "prompt_ids" in row:  # DPO
                theirs = [*row["prompt_ids"], *row[f"{side}_ids"]]
                prompt = len(row["prompt_ids"])
            else:
                theirs = row[f"{side}_input_ids"]
                prompt = row[f"{side}_labels"].count(-100)
            if theirs != [*pair.ids.prompt, *getattr(pair.ids, side)] or prompt != len(pair.ids.prompt):
                raise AssertionError(f"TRL reads other token ids than ours for a {side} response")
