"""What is done between the steps of a training: rows are handed on, and held-out pairs are measured."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from genarm.training import process_group as ranks

if TYPE_CHECKING:
    from genarm.training.trainer import ArmTrainer


Journal = Callable[[Mapping[str, float]], Any]


def quiet(row: Mapping[str, float]) -> None:
    """For a training that nobody looks on to."""


class Tell(TrainerCallback):
    """Hands the rows of the curves on, first those from before a resume."""

    def __init__(self, trainer: "ArmTrainer", journal: Journal) -> None:
        self._trainer, self._journal = trainer, journal

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        for row in self._trainer.curves:
            self._journal(row)

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        row = state.log_history[-1]
        if ranks.is_first() and ("loss" in row or "eval/loss" in row):
            self._journal(row)


class Evaluate(TrainerCallback):
    """Before the first step and every so many steps; `run` evaluates after the last one."""

    def __init__(self, trainer: "ArmTrainer") -> None:
        self._trainer = trainer

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        if state.global_step == 0:
            self._trainer.evaluate()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        due = state.global_step % self._trainer.config.evaluate_steps == 0
        control.should_evaluate = due and state.global_step < state.max_steps
