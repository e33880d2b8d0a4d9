"""One training: transformers' loop and optimiser, with our loss, our order of pairs and our evaluation."""

import math
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers import PrinterCallback, TrainingArguments
from transformers.utils import logging

from genarm.config import TrainConfig
from genarm.errors import TrainingError
from genarm.training import checkpoints as saved
from genarm.training import process_group as ranks
from genarm.training.callbacks import Evaluate, Journal, Tell, quiet
from genarm.training.collate import PairBatch
from genarm.training.diagnostics import reward_hacking
from genarm.training.distributed import SharedSteps
from genarm.training.early_stopping import Best
from genarm.training.evaluate import totals
from genarm.training.gradient_checkpointing import recompute
from genarm.training.logps import causal_lm, pair_logps
from genarm.training.loss import Objective
from genarm.training.packing import Plan
from genarm.training.token_cache import TokenPairs
from genarm.training.validation import Validation
from genarm.training.watch import Watch

KEPT = 2  # checkpoints: while the newest is being written, the one before it is whole
SCHEDULES = {"cosine": "cosine", "linear": "linear", "constant": "constant_with_warmup"}


class ArmTrainer(SharedSteps):
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
        journal: Journal = quiet,
    ) -> None:
        self.config, self.held_out, self.folder, self.watch = config, held_out, folder, watch
        plan = Plan(
            data.row_tokens,
            epochs=config.epochs,
            batch_pairs=config.batch_pairs,
            batch_tokens=config.batch_tokens,
            seed=config.seed,
            ranks=ranks.count(),
        )
        self.objective: Objective = Objective(
            config.beta, config.margin, config.label_smoothing, config.length_normalised
        )
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
        super().__init__(model, arguments, plan, data, packed)
        sharded = self.is_fsdp_enabled
        self.validation = Validation(held_out, objective=self.objective, packed=packed, sharded=sharded)
        if config.gradient_checkpointing:
            recompute(causal_lm(model))
        self.best = Best(self, config.early_stopping.patience if config.early_stopping else None)
        self.add_callback(watch)
        self.add_callback(Tell(self, journal))
        self.add_callback(Evaluate(self))
        self.remove_callback(PrinterCallback)

    @property
    def curves(self) -> list[dict[str, float]]:
        """What was logged, also before a resume; "epoch" is left out, as to the trainer all is one epoch."""
        rows = (row for row in self.state.log_history if "loss" in row or "eval/loss" in row)
        return [{name: value for name, value in row.items() if name != "epoch"} for row in rows]

    def run(self, dimension: str) -> None:
        """Train from the start or from the newest whole checkpoint; evaluate before and after."""
        resume = self._resume_from()
        verbosity = logging.get_verbosity()
        logging.set_verbosity_error()  # the trainer talks of file times and the like
        try:
            with self.watch.listening(), warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)  # peft's, on loading a checkpoint
                self.train(resume_from_checkpoint=str(resume) if resume else None)
        finally:
            logging.set_verbosity(verbosity)
            self.watch.close()
        if self.state.global_step < self.state.max_steps and not self.best.enough:
            raise TrainingError(
                f"training of {dimension} was stopped at step {self.state.global_step} "
                f"of {self.state.max_steps}",
                hint="run the same command to go on from there",
            )
        if not self.best.enough:
            self.evaluate()
        self.best.take()

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Log accuracy, margin, log-probabilities and health on validation pairs; warn where it is bad."""
        self.adapted.eval()
        first = next((row for row in self.state.log_history if "eval/loss" in row), None)
        found = self.validation.measure(
            partial(self.inside_of, self.adapted),
            self.args.device,
            first,
            adapter=hasattr(self.adapted, "disable_adapter"),
        )
        logs = {f"eval/{name}": value for name, value in found.items()}
        self.log(dict(logs))
        if warning := reward_hacking(self.curves, len(self.held_out)):
            self.watch.warn(warning)
        self.best.judge()
        return logs

    def training_step(self, *arguments: Any, **more: Any) -> torch.Tensor:
        self._freeze_dropout()
        return super().training_step(*arguments, **more)

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """The sum of the losses of one pack."""
        batch: PairBatch = inputs["pairs"]
        logps = self.inside_of(model, pair_logps, batch)
        losses = self.objective.losses(logps, batch.owner)
        if not torch.isfinite(losses).all():
            raise TrainingError(
                f"the loss is not a number at step {self.state.global_step + 1}, on the prompts "
                f"{', '.join(batch.prompt_ids)}",
                hint="lower train.learning_rate, or set base.dtype to bfloat16 or float32",
            )
        self.sums.update({**totals(logps, losses, beta=self.config.beta), "pairs": len(batch)})
        return losses.sum()

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        if "loss" in logs:
            pairs = self.sums.pop("pairs")
            self.watch.saw(pairs)
            logs |= {name: total / pairs for name, total in self.sums.items() if name != "loss"}
            self.sums.clear()
            if not math.isfinite(logs.get("grad_norm", 0.0)):
                raise TrainingError(
                    f"the gradient is not a number at step {self.state.global_step}",
                    hint="lower train.learning_rate, or set base.dtype to bfloat16 or float32",
                )
        super().log(logs, start_time)

    def floating_point_ops(self, inputs: Any) -> int:
        return 0

    def _resume_from(self) -> Path | None:
        """The newest whole checkpoint to the first process. Raises TrainingError where it is not here."""
        found = saved.newest(self.folder) if ranks.is_first() else None
        step = ranks.as_first(saved.step_of(found) if found else -1)
        if step < 0:
            return None
        resume = self.folder / f"{saved.PREFIX}{step}"
        if not resume.is_dir():
            raise TrainingError(
                f"process {ranks.mine()} sees no {resume}, from which the first process goes on",
                hint="let all machines share the folder of checkpoints",
            )
        return resume

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        with saved.whole_or_none(self.folder, self.state.global_step), saved.writing(self.folder):
            super()._save_checkpoint(model, trial)
            ranks.wait()  # each process keeps its own random state in it
            if ranks.is_first():
                saved.seal(self.folder / f"{saved.PREFIX}{self.state.global_step}")
            ranks.wait()

    def _freeze_dropout(self) -> None:
        """Only the adapters train: the base acts as it will in decoding, without dropout."""
        self.adapted.eval()
        if self.config.lora.dropout:
            for name, module in self.adapted.named_modules():
                if "lora_dropout" in name:
                    module.train()
