"""What goes on around the steps of a training: its progress, its checkpoints in time, its orderly stop."""

import time
from contextlib import AbstractContextManager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from genarm.system.signals import on_first_signal
from genarm.training import process_group as ranks

SECONDS_BETWEEN_LINES = 10.0


class Watch(TrainerCallback):
    """Shows progress on stderr, asks for a checkpoint every few minutes, and for an end after a signal."""

    def __init__(self, title: str, checkpoint_minutes: float) -> None:
        self.stopped = False  # once all processes know it
        self._asked = False
        self._title = title
        self._every = 60 * checkpoint_minutes
        self._console = Console(stderr=True, quiet=not ranks.is_first())
        self._bar: Progress | None = None
        self._task: Any = None
        self._pairs = 0
        self._last: dict[str, float] = {}

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        self._begun = self._saved = self._shown = time.monotonic()
        self._first_step = state.global_step
        if state.global_step:
            self._console.print(f"{self._title}: goes on at step {state.global_step} of {state.max_steps}")
        if self._console.is_terminal and ranks.is_first():
            columns = TextColumn(self._title), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
            self._bar = Progress(*columns, TextColumn("{task.fields[note]}"), console=self._console)
            self._bar.start()
            self._task = self._bar.add_task("", total=state.max_steps, completed=state.global_step, note="")

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        if not self._pairs:
            self._begun = time.monotonic()  # the evaluation before the first step is no time of a step

    def saw(self, pairs: int) -> None:
        """Count pairs that were computed."""
        self._pairs += pairs

    def warn(self, message: str) -> None:
        """Say something that a person should see while it trains, beside the bar."""
        self._console.print(f"{self._title}: {message}", soft_wrap=True, highlight=False)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **_: Any,
    ) -> None:
        self._last |= {k: v for k, v in (logs or {}).items() if k in ("loss", "rewards/accuracies")}

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        now = time.monotonic()
        self._show(state, now)
        self.stopped, due = ranks.any_of(self._asked, now - self._saved > self._every)
        if self.stopped:
            control.should_training_stop = True
        if self.stopped or due:
            control.should_save = True
            self._saved = now

    def close(self) -> None:
        """Take the bar away, whatever happened."""
        if self._bar:
            self._bar.stop()

    def _show(self, state: TrainerState, now: float) -> None:
        elapsed = now - self._begun
        note = f"{self._pairs / elapsed:.1f} pairs/s"
        for name, value in self._last.items():
            note += f"  {name} {value:.2f}"
        if self._bar:
            self._bar.update(self._task, completed=state.global_step, note=note)
        elif now - self._shown > SECONDS_BETWEEN_LINES:
            self._shown = now
            left = elapsed / (state.global_step - self._first_step) * (state.max_steps - state.global_step)
            self._console.print(
                f"{self._title}: step {state.global_step} of {state.max_steps}  {note}  {left:.0f} s left",
                soft_wrap=True,
                highlight=False,
            )

    def listening(self) -> AbstractContextManager[None]:
        """Turn the first Ctrl-C or SIGTERM into an end after the step under way; the second acts at once."""
        return on_first_signal(self._ask)

    def _ask(self) -> None:
        self._asked = True
        self._console.print(f"{self._title}: stops after this step and keeps a checkpoint")
