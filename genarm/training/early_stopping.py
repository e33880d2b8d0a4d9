"""Early stopping: which evaluation is the best so far, by the log that a resumed training has too."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from genarm.system.metric_names import EVALUATION_ACCURACY, EVALUATION_IMPLICIT, IMPLICIT_ACCURACY, STEP
from genarm.training.checkpoints import checkpoint_at

# What `train.early_stopping.metric` is called in the curves.
METRICS = {"accuracy": EVALUATION_ACCURACY, IMPLICIT_ACCURACY: EVALUATION_IMPLICIT}


@dataclass(frozen=True, slots=True)
class BestEvaluation:
    """The step with the best validation metric, the first of equals, and how many evaluations followed."""

    step: int
    evaluations_since: int


def best_evaluation(
    log_history: Sequence[Mapping[str, float]], metric: str = EVALUATION_ACCURACY
) -> BestEvaluation | None:
    """The best evaluation in a trainer's log by a metric; None where there is none after the first step.

    The evaluation before the first step does not count: an ARM that has learned nothing is not worth keeping.
    """
    evaluated = [(row[metric], int(row[STEP])) for row in log_history if metric in row and row[STEP] > 0]
    if not evaluated:
        return None
    best = max(range(len(evaluated)), key=lambda i: (evaluated[i][0], -i))
    return BestEvaluation(evaluated[best][1], len(evaluated) - 1 - best)


class EarlyStopping(TrainerCallback):
    """Keeps a checkpoint of the best step, and stops after `patience` evaluations without a better one.

    transformers' own callback counts anew after a resume. With patience None, nothing stops early.
    """

    def __init__(self, patience: int | None, metric: str = EVALUATION_ACCURACY) -> None:
        self._patience, self._metric = patience, metric

    def out_of_patience(self, state: TrainerState) -> bool:
        """Whether the last `patience` evaluations were no better than one before them."""
        best = best_evaluation(state.log_history, self._metric)
        return self._patience is not None and best is not None and best.evaluations_since >= self._patience

    def kept_step(self, state: TrainerState) -> int:
        """The step whose weights are kept: the best one, or the last one where nothing stops early."""
        best = best_evaluation(state.log_history, self._metric)
        last: int = state.global_step
        return last if self._patience is None or best is None else best.step

    def on_evaluate(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Keep this step if it is the best so far, or stop if the best one is too long ago."""
        if self._patience is None or state.global_step == 0:
            return
        if self.kept_step(state) == state.global_step:
            state.best_global_step = state.global_step
            # The checkpoint of this name is not rotated away.
            state.best_model_checkpoint = str(checkpoint_at(Path(str(args.output_dir)), state.global_step))
            control.should_save = True
        control.should_training_stop = control.should_training_stop or self.out_of_patience(state)
