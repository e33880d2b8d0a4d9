"""One training: transformers' loop and optimiser, with our loss, our order of pairs and our evaluation."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PrinterCallback, TrainingArguments

from genarm.config import TrainConfig
from genarm.errors import TrainingError
from genarm.models.finite import damaged_weight
from genarm.system.metric_names import GRADIENT_NORM, KL_TO_BASE, LOSS, evaluation_name, is_evaluation_row
from genarm.training.callbacks import (
    CheckpointCallback,
    EvaluationCallback,
    Journal,
    JournalCallback,
    ProgressBarCallback,
    curve_rows,
    quiet,
)
from genarm.training.checkpoints import (
    checkpoint_at,
    complete_or_removed,
    disk_errors_named,
    mark_complete,
    newest_complete,
    step_of,
)
from genarm.training.collate import PairBatch
from genarm.training.diagnostics import reward_hacking_warning
from genarm.training.distributed import DistributedTrainer
from genarm.training.early_stopping import METRICS, EarlyStopping
from genarm.training.gradient_checkpointing import enable_gradient_checkpointing
from genarm.training.logps import causal_lm, pair_logps
from genarm.training.logps_at_start import Start
from genarm.training.loss import Objective
from genarm.training.margins_at_start import MarginsAtStart
from genarm.training.packing import PackedSteps
from genarm.training.process_group import (
    barrier,
    broadcast_from_main,
    is_main_process,
    rank,
    world_size,
)
from genarm.training.token_cache import TokenPairs
from genarm.training.transformers_hooks import (
    disable_data_parallel,
    errors_only,
    load_checkpoint_weights,
    peft_warnings_ignored,
)
from genarm.training.validation import Validation, metric_sums

CHECKPOINTS = 2  # are kept: while the newest is being written, the one before it is complete
SCHEDULES = {"cosine": "cosine", "linear": "linear", "constant": "constant_with_warmup"}


class ArmTrainer(DistributedTrainer):
    """transformers.Trainer for an ARM: packed steps, the preference loss, evaluation on held-out pairs.

    `start` is what DPO's loss subtracts, there with `objective: dpo` alone. `steps` are drawn unless given.
    """

    def __init__(
        self,
        model: nn.Module,
        config: TrainConfig,
        data: TokenPairs,
        held_out: TokenPairs,
        folder: Path,
        *,
        title: str,
        packed: bool,
        journal: Journal = quiet,
        start: Start | None = None,
        steps: PackedSteps | None = None,
    ) -> None:
        if (start is None) != (config.objective == "arm"):
            raise ValueError(f"objective {config.objective!r} with{'out' if start is None else ''} a start")
        steps = steps or PackedSteps(
            data.row_tokens,
            epochs=config.epochs,
            batch_pairs=config.batch_pairs,
            batch_tokens=config.batch_tokens,
            seed=config.seed,
            processes=world_size(),
        )
        arguments = training_arguments(config, folder, next(model.parameters()).device)
        disable_data_parallel(arguments)
        super().__init__(model, arguments, steps, data, packed, start.train if start else None)
        if config.gradient_checkpointing:
            enable_gradient_checkpointing(causal_lm(model))
        self.config, self.held_out, self.folder = config, held_out, folder
        self.step_prompts: list[str] = []  # that this process has computed since the last log
        settings = config.beta, config.margin, config.label_smoothing, config.length_normalised
        self.objective: Objective = Objective(*settings)
        self.validation = Validation(
            held_out,
            held_out.lengths,
            objective=self.objective,
            packed=packed,
            sharded=self.is_fsdp_enabled,
            start=start.held_out if start else None,
        )
        self.margins_at_start = MarginsAtStart(folder, beta=config.beta, parts=self.validation.strata)
        stopping = config.early_stopping
        self.early_stopping = (
            EarlyStopping(stopping.patience, METRICS[stopping.metric]) if stopping else EarlyStopping(None)
        )
        self.progress = ProgressBarCallback(title)
        self.checkpoints = CheckpointCallback(config.checkpoint_minutes, self.progress.warn)
        self.remove_callback(PrinterCallback)
        for callback in (
            self.progress,
            self.checkpoints,
            JournalCallback(journal),
            EvaluationCallback(self.evaluate, config.evaluate_steps),
            self.early_stopping,
        ):
            self.add_callback(callback)

    @property
    def curves(self) -> list[dict[str, float]]:
        """One row a step and one an evaluation, those from before a resume included."""
        return curve_rows(self.state.log_history)

    @property
    def kept_step(self) -> int:
        """The step whose weights the model has at the end."""
        return self.early_stopping.kept_step(self.state)

    def run(self, dimension: str) -> None:
        """Train from the start or from the newest complete checkpoint; evaluate before and after.

        Raises TrainingError after a stop by signal.
        """
        resume = self._checkpoint_to_resume()
        try:
            with self.checkpoints.stopping_on_signal(), errors_only(), peft_warnings_ignored():
                self.train(resume_from_checkpoint=str(resume) if resume else None)
        finally:
            self.progress.close()
        step, last = self.state.global_step, self.state.max_steps
        stopped_early = self.early_stopping.out_of_patience(self.state)
        if step < last and not stopped_early:
            raise TrainingError(
                f"training of {dimension} was stopped at step {step} of {last}",
                hint="run the same command to go on from there",
            )
        if not stopped_early:
            self.evaluate()
        if self.kept_step != step:
            load_checkpoint_weights(self, str(checkpoint_at(self.folder, self.kept_step)))

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Log metrics and diagnostics of the validation pairs; warn of a sign of reward hacking.

        Raises TrainingError where one of them is not finite.
        """
        self.adapted.eval()
        first = next((row for row in self.state.log_history if is_evaluation_row(row)), None)
        metrics = self.measure(self.validation, self.margins_at_start, first)
        if strange := [name for name, value in metrics.items() if not math.isfinite(value)]:
            prompts = self.validation.unscored
            raise self._not_finite(f"the evaluation's {strange[0]}", self.state.global_step, prompts)
        logs = {evaluation_name(name): value for name, value in metrics.items()}
        self.log(dict(logs))
        implicit = self.config.objective == "dpo"
        if warning := reward_hacking_warning(self.curves, len(self.held_out), implicit=implicit):
            self.progress.warn(warning)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, logs)
        return logs

    def measure(
        self, validation: Validation, at_start: MarginsAtStart, first: Mapping[str, float] | None
    ) -> dict[str, float]:
        """Metrics and diagnostics of some held-out pairs; `first` is their first evaluation."""
        run, device = partial(self.run_model, self.adapted), self.args.device
        metrics = validation.metrics(run, device)
        metrics |= validation.diagnostics(metrics, first)
        metrics |= at_start.metrics(validation.margins, self.state.global_step)
        if hasattr(self.adapted, "disable_adapter"):
            metrics[KL_TO_BASE] = validation.kl_to_base(run, device)
        return metrics

    def training_step(self, *arguments: Any, **more: Any) -> Tensor:
        """Loss and gradient of one step, with the base as it will be in decoding: without dropout."""
        self.adapted.eval()
        if self.config.lora.dropout:
            for name, module in self.adapted.named_modules():
                if "lora_dropout" in name:
                    module.train()
        return super().training_step(*arguments, **more)

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """The sum of the losses of one pack. Raises TrainingError where it is not finite."""
        batch: PairBatch = inputs["pairs"]
        logps = self.run_model(model, pair_logps, batch)
        losses = self.objective.losses(logps, batch.owner, batch.start)
        if not torch.isfinite(losses).all():
            raise self._not_finite("the loss", self.state.global_step + 1, batch.prompt_ids)
        self.step_prompts += batch.prompt_ids
        sums = metric_sums(logps, losses, beta=self.config.beta, start=batch.start)
        self.sums.update({**sums, "pairs": len(batch)})
        return losses.sum()

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log a step, with the means over its pairs.

        Raises TrainingError where the gradient is not finite.
        """
        if LOSS in logs:
            pairs = self.sums.pop("pairs")
            self.progress.count_pairs(pairs)
            logs |= {name: total / pairs for name, total in self.sums.items() if name != LOSS}
            self.sums.clear()
            prompts, self.step_prompts = self.step_prompts, []
            if not math.isfinite(logs.get(GRADIENT_NORM, 0.0)):
                raise self._not_finite("the gradient", self.state.global_step, prompts)
        super().log(logs, start_time)

    def _not_finite(self, what: str, step: int, prompts: Sequence[str]) -> TrainingError:
        """The error for numbers of a training that are none, with the damaged weight if there is one."""
        model = causal_lm(self.adapted)
        dtype = str(model.dtype).removeprefix("torch.")
        where = f", on the prompts {', '.join(prompts)}" if prompts else ""
        message, hint = f"{what} is not finite at step {step}{where}, in {dtype}", "lower train.learning_rate"
        # Sharded weights can only be looked at by all processes at once, and this one may have failed alone.
        weights = [] if self.is_fsdp_enabled else [*model.named_parameters()]
        if frozen := damaged_weight((name, w) for name, w in weights if not w.requires_grad):
            message += f": the base's weight {frozen} holds values that are no numbers"
            hint = "the base model is damaged: fetch or convert it again"
        elif trained := damaged_weight((name, w) for name, w in weights if w.requires_grad):
            message += f": the trained weight {trained} is not finite any more"
        elif dtype != "float32" or self.config.method == "full":
            hint += ", or set base.dtype to bfloat16 or float32"
        return TrainingError(message, hint=hint)

    @contextmanager
    def writing_checkpoint(self) -> Iterator[None]:
        """Mark a checkpoint as complete when all processes have written their part, or remove it."""
        step = self.state.global_step
        with complete_or_removed(self.folder, step), disk_errors_named(self.folder):
            yield
            barrier()  # each process writes its random state into it
            if is_main_process():
                mark_complete(checkpoint_at(self.folder, step))
            barrier()

    def _checkpoint_to_resume(self) -> Path | None:
        """The newest checkpoint that the main process finds complete. Raises TrainingError if not here."""
        newest = newest_complete(self.folder) if is_main_process() else None
        step = broadcast_from_main(step_of(newest) if newest else -1)
        if step < 0:
            return None
        checkpoint = checkpoint_at(self.folder, step)
        if not checkpoint.is_dir():
            raise TrainingError(
                f"process {rank()} does not find {checkpoint}, from which the main process resumes",
                hint="let all machines share the folder of checkpoints",
            )
        return checkpoint


def training_arguments(config: TrainConfig, folder: Path, device: torch.device) -> TrainingArguments:
    """Our settings as arguments of transformers.Trainer, which sees a step as a batch of one."""
    return TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=1,  # one step: all its packs, of which there may be any number
        train_sampling_strategy="sequential",  # PackedSteps is the order, all epochs of it
        num_train_epochs=1,
        learning_rate=config.learning_rate,
        lr_scheduler_type=SCHEDULES[config.schedule],
        warmup_steps=config.warmup,
        weight_decay=config.weight_decay,
        max_grad_norm=config.max_grad_norm,
        seed=config.seed,
        use_cpu=device.type == "cpu",
        dataloader_pin_memory=device.type == "cuda",
        logging_steps=1,
        logging_nan_inf_filter=False,
        disable_tqdm=True,
        report_to="none",
        remove_unused_columns=False,
        save_strategy="no",  # CheckpointCallback decides when
        save_total_limit=CHECKPOINTS,
    )
