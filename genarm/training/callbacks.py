"""What happens between the steps of a training: curves, evaluations, progress, checkpoints, an orderly stop.

Callbacks of transformers: they know the trainer's state and its control, and are given what else they need.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from genarm.system.metric_names import ACCURACY, EPOCH, IMPLICIT_ACCURACY, LOSS, is_curve_row
from genarm.system.progress import ProgressDisplay, Step
from genarm.system.signals import on_first_signal
from genarm.training.process_group import any_process, is_main_process

Journal = Callable[[Mapping[str, float]], Any]

SHOWN = {
    LOSS: LOSS,
    ACCURACY: "accuracy",
    IMPLICIT_ACCURACY: "implicit",
}  # beside the bar, and as it is called there


def quiet(row: Mapping[str, float]) -> None:
    """The journal of a training whose curves nobody follows."""


def curve_rows(log_history: Iterable[Mapping[str, float]]) -> list[dict[str, float]]:
    """The curves in a trainer's log, without the epoch: to the trainer the whole training is one epoch."""
    return [
        {name: value for name, value in row.items() if name != EPOCH}
        for row in log_history
        if is_curve_row(row)
    ]


class JournalCallback(TrainerCallback):
    """Passes each row of the curves to a journal; after a resume, first the rows from before it."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Pass on what was logged before a resume."""
        for row in curve_rows(state.log_history):
            self._journal(row)

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Pass on the row that was just logged."""
        row = state.log_history[-1]
        if is_main_process() and is_curve_row(row):
            self._journal(row)


class EvaluationCallback(TrainerCallback):
    """Evaluates before the first step and every `steps` steps; the trainer evaluates after the last one."""

    def __init__(self, evaluate: Callable[[], object], steps: int) -> None:
        self._evaluate, self._steps = evaluate, steps

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Evaluate the model before it is trained."""
        if state.global_step == 0:
            self._evaluate()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Ask for an evaluation when one is due."""
        due = state.global_step % self._steps == 0
        control.should_evaluate = due and state.global_step < state.max_steps


class CheckpointCallback(TrainerCallback):
    """Asks for a checkpoint every few minutes, and for one and an end after a signal."""

    def __init__(self, minutes: float, notify: Callable[[str], object]) -> None:
        self._seconds, self._notify = 60 * minutes, notify
        self._stop_requested = False

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Start the clock."""
        self._saved = time.monotonic()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Agree with the other processes on whether to save and whether to stop."""
        now = time.monotonic()
        stop, due = any_process(self._stop_requested, now - self._saved > self._seconds)
        if stop:
            control.should_training_stop = True
        if stop or due:
            control.should_save = True
            self._saved = now

    def request_stop(self) -> None:
        """Stop after the step under way, with a checkpoint."""
        self._stop_requested = True
        self._notify("stops after this step and keeps a checkpoint")

    def stopping_on_signal(self) -> AbstractContextManager[None]:
        """Turn the first Ctrl-C or SIGTERM into `request_stop`; the second one acts at once."""
        return on_first_signal(self.request_stop)


class ProgressBarCallback(TrainerCallback):
    """Shows progress on stderr: a bar on a terminal, a line now and then elsewhere."""

    def __init__(self, title: str) -> None:
        self._display = ProgressDisplay(title, quiet=not is_main_process())
        self._pairs = 0
        self._metrics: dict[str, float] = {}

    def count_pairs(self, pairs: int) -> None:
        """Add pairs that were trained on, for the speed that is shown."""
        self._pairs += pairs

    def warn(self, message: str) -> None:
        """Show a message beside the bar."""
        self._display.say(message)

    def close(self) -> None:
        """Remove the bar."""
        self._display.close()

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Show where the training starts or resumes."""
        self._started = time.monotonic()
        self._first_step = state.global_step
        if state.global_step:
            self._display.say(f"resumes at step {state.global_step} of {state.max_steps}")

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Start the clock with the first step, so that the evaluation before it does not count."""
        if not self._pairs:
            self._started = time.monotonic()

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **_: Any,
    ) -> None:
        """Remember the metrics that are shown."""
        self._metrics |= {name: value for name, value in (logs or {}).items() if name in SHOWN}

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Say how far it is, how fast it goes and how well."""
        elapsed = time.monotonic() - self._started
        done, total = state.global_step, state.max_steps
        note = f"{self._pairs / elapsed:.1f} pairs/s"
        for name, value in self._metrics.items():
            note += f", {SHOWN[name]} {value:.2f}"
        left = elapsed / (done - self._first_step) * (total - done)
        self._display.show(Step(done, total, "steps", note, left))
