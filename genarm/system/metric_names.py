"""The names of metrics: in the curves of a training, and of a decision.

Training writes the curves, registry and report read them. A row of the curves belongs to a step or to an
evaluation. The metrics of an evaluation have the prefix `eval/`. Names are those of TRL where it has the
metric. What was measured for a decision has one name each, in MLflow and in `artifacts/metrics.json`.
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
# Of the implicit reward, log p_arm - log p_start: how often training raised chosen more than rejected.
IMPLICIT_ACCURACY = "implicit_accuracy"
IMPLICIT_MARGIN = "implicit_margin"  # mean, in nats
IMPLICIT_BRIER = "implicit_brier"
IMPLICIT_CALIBRATION = "implicit_calibration_error"
SUM_BRIER = "brier"  # of the summed log-probability
SUM_CALIBRATION = "calibration_error"
OVER_LONGER = "over_longer"  # accuracy beyond what preferring the longer response would get

EVALUATION_LOSS = evaluation_name(LOSS)
EVALUATION_ACCURACY = evaluation_name(ACCURACY)
EVALUATION_MARGIN = evaluation_name(MARGIN)
EVALUATION_LONGER = evaluation_name(LONGER_IS_CHOSEN)
EVALUATION_IMPLICIT = evaluation_name(IMPLICIT_ACCURACY)

# Pairs by the tokens of their responses, and an accuracy on each part of them.
STRATA = ("longer_chosen", "shorter_chosen", "equal_length")


def stratum_name(stratum: str, name: str = "accuracy") -> str:
    """The name of a number on one part of the pairs; unless named, of the accuracy of the sum."""
    return f"{name}_{stratum}"


# Of a trained judge, on the validation pairs.
JUDGE_ACCURACY = "judge_accuracy"
JUDGE_ACCURACY_LOWER = "judge_accuracy_lower"  # of the 95% interval
JUDGE_ACCURACY_UPPER = "judge_accuracy_upper"
JUDGE_LONGER = "judge_longer_is_chosen"  # what preferring the longer response would get
JUDGE_PAIRS = "judge_pairs"

# What a decision rests on: the challenger against its rival on its own dimension, and the challenger's text.
WIN_RATE = "win_rate"
WIN_RATE_LOWER = "win_rate_lower"  # of the 95% interval
WIN_RATE_UPPER = "win_rate_upper"
WIN_RATE_N = "win_rate_n"  # prompts with a verdict
P_VALUE = "p_value"
LOOKS = "looks"  # after how many batches of prompts it was decided, where a run may go on after a look
P_ADJUSTED = "p_adjusted"  # by Holm, over the dimensions decided together
PERPLEXITY = "perplexity"
REPETITION = "repetition"
KL = "kl"  # KL(guided || base) a token
MEAN_TOKENS = "mean_tokens"
HELD_OUT = "held_out"  # the end of a name, for the second judge of a dimension
_OF_COMPARISON = {WIN_RATE, WIN_RATE_LOWER, WIN_RATE_UPPER, WIN_RATE_N, P_VALUE}
_OF_DECISION = {
    *(LOOKS, P_ADJUSTED, PERPLEXITY, REPETITION, KL, MEAN_TOKENS),
    *(EVALUATION_ACCURACY, EVALUATION_LONGER, EVALUATION_IMPLICIT),
}


def guard_name(name: str, dimension: str) -> str:
    """The name of the same number on a dimension that the challenger was not trained for."""
    return f"{name}/{dimension}"


def held_out_name(name: str) -> str:
    """The name of the same number by the held-out judge; no dimension is called so, for its underscore."""
    return f"{name}/{HELD_OUT}"


def is_of_decision(name: str) -> bool:
    """Whether a metric was measured for a decision, on whichever dimension."""
    return name in _OF_DECISION or name.partition("/")[0] in _OF_COMPARISON


def is_evaluation_row(row: Mapping[str, float]) -> bool:
    """Whether a row of a training's log is of an evaluation."""
    return EVALUATION_LOSS in row


def is_curve_row(row: Mapping[str, float]) -> bool:
    """Whether a row of a training's log belongs to the curves: a step or an evaluation."""
    return LOSS in row or is_evaluation_row(row)
