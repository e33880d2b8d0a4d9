"""Early stopping: which evaluation was the best so far, by the log that a resumed training has too."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from transformers.utils import logging

from genarm.training.checkpoints import PREFIX

if TYPE_CHECKING:
    from genarm.training.trainer import ArmTrainer

ACCURACY = "eval/rewards/accuracies"


@dataclass(frozen=True, slots=True)
class Standing:
    """The step with the best validation accuracy, the first of equals, and the evaluations since it."""

    step: int
    since: int


def standing(rows: Sequence[Mapping[str, float]]) -> Standing | None:
    """Where a training stands by its log; None before it was evaluated on its way.

    The evaluation before the first step does not count: what has learned nothing is no ARM to keep.
    """
    seen = [(row[ACCURACY], int(row["step"])) for row in rows if ACCURACY in row and row["step"] > 0]
    if not seen:
        return None
    best = max(range(len(seen)), key=lambda i: (seen[i][0], -i))
    return Standing(seen[best][1], len(seen) - 1 - best)


class Best:
    """Keeps a checkpoint of the best step of a training, ends it in time, and takes that step back.

    transformers' own callback wants its evaluation loop and counts anew after a resume.
    """

    def __init__(self, trainer: "ArmTrainer", patience: int | None) -> None:
        self._trainer, self._patience = trainer, patience

    @property
    def enough(self) -> bool:
        """Whether the last evaluations were no better than one before them."""
        now = standing(self._trainer.state.log_history)
        return self._patience is not None and now is not None and now.since >= self._patience

    @property
    def step(self) -> int:
        """The step whose weights are kept: the last one where nothing stops early."""
        now = standing(self._trainer.state.log_history)
        last: int = self._trainer.state.global_step
        return last if self._patience is None or now is None else now.step

    def judge(self) -> None:
        """After an evaluation: keep this step, or stop."""
        state, control = self._trainer.state, self._trainer.control
        control.should_evaluate = False  # or the end of training would ask again for what was just measured
        if self._patience is None or state.global_step == 0:
            return
        if self.step == state.global_step:
            state.best_global_step = state.global_step
            state.best_model_checkpoint = self._checkpoint()  # which is not rotated away
            control.should_save = True
        control.should_training_stop = control.should_training_stop or self.enough

    def take(self) -> None:
        """At the end: back to the weights of the best step."""
        if self.step != self._trainer.state.global_step:
            self._trainer.state.best_model_checkpoint = self._checkpoint()
            verbosity = logging.get_verbosity()
            logging.set_verbosity_error()  # a head that is the embeddings is stored once
            try:
                self._trainer._load_best_model()
            finally:
                logging.set_verbosity(verbosity)

    def _checkpoint(self) -> str:
        return str(self._trainer.folder / f"{PREFIX}{self.step}")
