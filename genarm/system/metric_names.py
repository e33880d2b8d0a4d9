"""The names of metrics in the curves of a training, which training writes and registry and report read.

A row of the curves belongs to a step or to an evaluation. The metrics of an evaluation
have the prefix `eval/`. Names are those of TRL where it has the metric.
"""

from collections.abc import Mapping

EVALUATION_PREFIX = "eval/"


def evaluation_name(name: str) -> str:
    """The name under which an evaluation logs a metric: `loss` -> `eval/loss`."""
    return f"{EVALUATION_PREFIX}{name}"


# Where a row stands in the training; not metrics.
STEP = "step"
EPOCH = "epoch"
POSITION = (STEP, EPOCH)

LOSS = "loss"
GRADIENT_NORM = "grad_norm"  # of a step only, as transformers calls it
ACCURACY = "rewards/accuracies"
MARGIN = "rewards/margins"
CHOSEN_REWARD = "rewards/chosen"
REJECTED_REWARD = "rewards/rejected"
CHOSEN_LOGP = "logps/chosen"
REJECTED_LOGP = "logps/rejected"

# Diagnostics of an evaluation.
CHOSEN_DRIFT = "drift/chosen"
REJECTED_DRIFT = "drift/rejected"
CHOSEN_PERPLEXITY = "perplexity/chosen"
KL_TO_BASE = "kl_to_base"
LONGER_IS_CHOSEN = "longer_is_chosen"
IMPLICIT_ACCURACY = "implicit_accuracy"  # how often training raised chosen more than rejected
OVER_LONGER = "over_longer"  # accuracy beyond what preferring the longer response would get

EVALUATION_LOSS = evaluation_name(LOSS)
EVALUATION_ACCURACY = evaluation_name(ACCURACY)
EVALUATION_MARGIN = evaluation_name(MARGIN)


def is_evaluation_row(row: Mapping[str, float]) -> bool:
    """Whether a row of a training's log is of an evaluation."""
    return EVALUATION_LOSS in row


def is_curve_row(row: Mapping[str, float]) -> bool:
    """Whether a row of a training's log belongs to the curves: a step or an evaluation."""
    return LOSS in row or is_evaluation_row(row)
