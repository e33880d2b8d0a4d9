"""One training: transformers' loop and optimiser, with our loss, our order of pairs and our evaluation."""

import math
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from transformers import (
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from transformers.utils import logging

from genarm import checkpoints as saved
from genarm.accuracy import measure, totals
from genarm.collate import PairBatch, collate
from genarm.config import TrainConfig
from genarm.errors import TrainingError
from genarm.logps import pair_logps
from genarm.loss import Objective
from genarm.packing import Plan
from genarm.tokenised import TokenPairs
from genarm.watch import Watch

STEPS_BETWEEN_EVALUATIONS = 100
KEPT = 2  # checkpoints: while the newest is being written, the one before it is whole
SCHEDULES = {"cosine": "cosine", "linear": "linear", "constant": "constant_with_warmup"}


class ArmTrainer(Trainer):
    """transformers.Trainer over whole steps: our packs, our loss, our evaluation; its loop and optimiser."""

    def __init__(
        self,
        model: Any,
        config: TrainConfig,
        data: TokenPairs,
        held_out: TokenPairs,
        folder: Path,
        watch: Watch,
        packed: bool,
    ) -> None:
        self.adapted, self.config, self.data, self.held_out = model, config, data, held_out
        self.folder, self.watch, self.packed = folder, watch, packed
        self.plan = Plan(
            data.row_tokens,
            epochs=config.epochs,
            batch_pairs=config.batch_pairs,
            batch_tokens=config.batch_tokens,
            seed=config.seed,
        )
        self.objective = Objective(
            config.beta, config.margin, config.label_smoothing, config.length_normalised
        )
        self._sums: Counter[str] = Counter()
        arguments = TrainingArguments(
            output_dir=str(folder),
            per_device_train_batch_size=1,  # one step: all its packs, of which there may be any number
            train_sampling_strategy="sequential",  # the plan is the order, all epochs of it
            num_train_epochs=1,
            learning_rate=config.learning_rate,
            lr_scheduler_type=SCHEDULES[config.schedule],
            warmup_steps=config.warmup,
            weight_decay=config.weight_decay,
            max_grad_norm=config.max_grad_norm,
            seed=config.seed,
            use_cpu=model.device.type == "cpu",
            dataloader_pin_memory=model.device.type == "cuda",
            logging_steps=1,
            logging_nan_inf_filter=False,
            disable_tqdm=True,
            report_to="none",
            remove_unused_columns=False,
            save_strategy="no",  # the watch says when
            save_total_limit=KEPT,
        )
        arguments._n_gpu = min(arguments.n_gpu, 1)  # never torch's DataParallel, which would split batches
        super().__init__(
            model=model,
            args=arguments,
            train_dataset=self.plan,
            data_collator=self._collate,
            callbacks=[watch],
        )
        self.add_callback(_Evaluate(self))
        self.remove_callback(PrinterCallback)

    @property
    def curves(self) -> list[dict[str, float]]:
        """What was logged, also before a resume; "epoch" is left out, as to the trainer all is one epoch."""
        rows = (row for row in self.state.log_history if "loss" in row or "eval/loss" in row)
        return [{name: value for name, value in row.items() if name != "epoch"} for row in rows]

    def run(self, dimension: str) -> None:
        """Train from the start or from the newest whole checkpoint; evaluate before and after."""
        resume = saved.newest(self.folder)
        verbosity = logging.get_verbosity()
        logging.set_verbosity_error()  # the trainer talks of file times and the like
        try:
            with self.watch.listening(), warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)  # peft's, on loading a checkpoint
                self.train(resume_from_checkpoint=str(resume) if resume else None)
        finally:
            logging.set_verbosity(verbosity)
            self.watch.close()
        if self.state.global_step < self.state.max_steps:
            raise TrainingError(
                f"training of {dimension} was stopped at step {self.state.global_step} "
                f"of {self.state.max_steps}",
                hint="run the same command to go on from there",
            )
        self.evaluate()

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Log accuracy, margin and log-probabilities on the validation pairs."""
        self.adapted.eval()
        tokens = self.held_out.row_tokens
        found = measure(self.adapted, self.held_out, tokens, self.objective, packed=self.packed)
        logs = {f"eval/{name}": value for name, value in found.items()}
        self.log(dict(logs))
        return logs

    def training_step(
        self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None
    ) -> torch.Tensor:
        """Loss and gradient of one step: the mean over its pairs, however they are packed."""
        self._freeze_dropout()
        packs = self._prepare_inputs(inputs)["packs"]
        pairs, total = sum(map(len, packs)), torch.zeros((), device=self.args.device)
        for batch in packs:
            loss = self.compute_loss(model, {"pairs": batch}) / pairs
            self.accelerator.backward(loss)
            total += loss.detach()
        return total

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """The sum of the losses of one pack."""
        batch: PairBatch = inputs["pairs"]
        logps = pair_logps(model, batch)
        losses = self.objective.losses(logps, batch.owner)
        if not torch.isfinite(losses).all():
            raise TrainingError(
                f"the loss is not a number at step {self.state.global_step + 1}, on the prompts "
                f"{', '.join(batch.prompt_ids)}",
                hint="lower train.learning_rate, or set base.dtype to bfloat16 or float32",
            )
        self._sums.update({**totals(logps, losses, beta=self.config.beta), "pairs": len(batch)})
        self.watch.saw(len(batch))
        return losses.sum()

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        if "loss" in logs:
            pairs = self._sums.pop("pairs")
            logs |= {name: total / pairs for name, total in self._sums.items() if name != "loss"}
            self._sums.clear()
            if not math.isfinite(logs.get("grad_norm", 0.0)):
                raise TrainingError(
                    f"the gradient is not a number at step {self.state.global_step}",
                    hint="lower train.learning_rate, or set base.dtype to bfloat16 or float32",
                )
        super().log(logs, start_time)

    def floating_point_ops(self, inputs: Any) -> int:
        return 0

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        with saved.writing(self.folder):
            super()._save_checkpoint(model, trial)
            saved.seal(self.folder / f"{saved.PREFIX}{self.state.global_step}")

    def _collate(self, items: list[list[list[int]]]) -> dict[str, list[PairBatch]]:
        return {"packs": [collate([self.data[i] for i in p], packed=self.packed) for p in items[0]]}

    def _freeze_dropout(self) -> None:
        """Only the adapters train: the base acts as it will in decoding, without dropout."""
        self.adapted.eval()
        if self.config.lora.dropout:
            for name, module in self.adapted.named_modules():
                if "lora_dropout" in name:
                    module.train()


class _Evaluate(TrainerCallback):
    """Before the first step and every so many steps; `run` evaluates after the last one."""

    def __init__(self, trainer: ArmTrainer) -> None:
        self._trainer = trainer

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        if state.global_step == 0:
            self._trainer.evaluate()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        due = state.global_step % STEPS_BETWEEN_EVALUATIONS == 0
        control.should_evaluate = due and state.global_step < state.max_steps
