"""A training by a trainer of transformers or TRL as it comes, run as our own are: quiet, shown, and resumed.

Checkpoints are used only if they are complete, and a loss that is no number ends the training. What resumes
is what transformers saves: weights, optimiser, schedule, the place in the data and the states of the random
generators.
"""

import importlib.util
import math
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genarm.errors import GenarmError, TrainingError
from genarm.system import metric_names as names
from genarm.system.progress import ProgressDisplay, Step
from genarm.training.callbacks import Journal, JournalCallback, quiet
from genarm.training.checkpoints import checkpoint_at, disk_errors_named, mark_complete, newest_complete
from genarm.training.transformers_hooks import errors_only

CHECKPOINTS_A_RUN = 5
CURVE_POINTS = 50
SECONDS = "seconds"  # in the trainer's log: of work, over all interruptions


def require_trl(user: str, hint: str, error: type[GenarmError] = TrainingError) -> None:
    """Raise an error where TRL is not installed; `user` needs it, and `hint` is the command to install it."""
    if importlib.util.find_spec("trl") is None:
        raise error(f"{user} needs the package trl, which is not installed", hint=hint)


@contextmanager
def libraries_quiet() -> Iterator[None]:
    """Without what transformers, TRL, PEFT and datasets tell of what they themselves call."""
    from datasets.utils import logging as theirs

    shown = theirs.is_progress_bar_enabled()
    theirs.disable_progress_bar()
    try:
        with warnings.catch_warnings(), errors_only():
            warnings.simplefilter("ignore", FutureWarning)
            warnings.simplefilter("ignore", UserWarning)
            yield
    finally:
        if shown:
            theirs.enable_progress_bar()


def stock_arguments(
    work: Path, steps: int, *, seed: int, checkpoints: int = CHECKPOINTS_A_RUN
) -> dict[str, Any]:
    """What every such training sets alike, as arguments of transformers' TrainingArguments."""
    import torch

    on_gpu = torch.cuda.is_available()
    return {
        "output_dir": str(work),
        "use_cpu": not on_gpu,
        "dataloader_pin_memory": on_gpu,
        "seed": seed,
        "logging_steps": max(1, steps // CURVE_POINTS),
        "logging_nan_inf_filter": False,  # it would show the mean of other steps in place of NaN
        "save_strategy": "steps",
        "save_steps": max(1, steps // checkpoints),
        "save_total_limit": 2,  # the older one is there while the newer is written
        "report_to": [],
        "disable_tqdm": True,
    }


@dataclass(frozen=True, slots=True)
class StockRun:
    """What came of a training: the trainer's log, its steps and the seconds that it worked."""

    log: list[dict[str, Any]]
    steps: int
    seconds: float


def run_stock(
    trainer: Any,
    display: ProgressDisplay,
    *,
    what: str,
    hint: str,
    noted: Mapping[str, str],
    error: type[GenarmError] = TrainingError,
    journal: Journal = quiet,
) -> StockRun:
    """Train, from the newest complete checkpoint in the trainer's folder where there is one.

    `noted` are the metrics beside the bar, and what they are called there. Raises `error` with `hint` where
    the loss of `what` is no number, TrainingError where a checkpoint cannot be written.
    """
    from transformers.trainer_callback import PrinterCallback

    work = Path(trainer.args.output_dir)
    trainer.remove_callback(PrinterCallback)  # standard output is for what `--json` prints
    trainer.add_callback(_followed(display, what, hint, noted, error))
    trainer.add_callback(JournalCallback(journal))
    last = newest_complete(work)
    if last:
        display.say(f"goes on from {last.name}")
    try:
        trainer.train(resume_from_checkpoint=str(last) if last else None)
    finally:
        display.close()
    log = trainer.state.log_history
    return StockRun(log, trainer.state.global_step, log[-1][SECONDS])


def _followed(
    display: ProgressDisplay, what: str, hint: str, noted: Mapping[str, str], error: type[GenarmError]
) -> Any:
    from transformers import TrainerCallback

    class Followed(TrainerCallback):
        """Shows how far a training is, marks its checkpoints, and ends it where the loss is no number."""

        def __init__(self) -> None:
            self._began, self._before = time.monotonic(), 0.0

        def on_train_begin(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            self._began = time.monotonic()
            if state.log_history:
                self._before = state.log_history[-1].get(SECONDS, 0.0)

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **more: Any) -> None:
            state.log_history[-1][SECONDS] = self._before + time.monotonic() - self._began
            row = logs or {}
            if not all(math.isfinite(row[n]) for n in (names.LOSS, names.GRADIENT_NORM) if n in row):
                raise error(f"the loss of {what} is no number after {state.global_step} steps", hint=hint)
            note = ", ".join(f"{called} {row[name]:.3g}" for name, called in noted.items() if name in row)
            display.show(Step(state.global_step, state.max_steps, "steps", note))

        def on_save(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            folder = checkpoint_at(Path(args.output_dir), state.global_step)
            with disk_errors_named(folder):
                mark_complete(folder)

    return Followed()
