"""How a training is going beyond its loss: metrics of each evaluation, and the sign of reward hacking."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from genarm.system import metric_names as names
from genarm.training.collate import PairBatch
from genarm.training.head import chunk_of
from genarm.training.logps import causal_lm, logits, predicting_states

KL_TOKENS = 1024  # response tokens, about, on which the distance from the base is measured
EVALUATIONS = 4  # that the warning looks back on
GROWTH = 0.2  # of the margin over them, as a share of the first; less does not count as growth


def kl_sample(tokens: Sequence[int], most: int = KL_TOKENS) -> list[int]:
    """Indices of pairs, spread evenly over all, that hold about `most` tokens; the same each time."""
    count = max(1, round(len(tokens) * min(1.0, most / max(1, sum(tokens)))))
    return [i * len(tokens) // count for i in range(count)]


def kl_to_base(model: Any, batch: PairBatch) -> Tensor:
    """KL(ARM || base) in nats at each response token -> [t]; the base is the model with its adapter off.

    KL(p || q) = sum_v p(v) (log p(v) - log q(v)), given the prompt and the response so far.
    """
    arm = predicting_states(model, batch)
    with model.disable_adapter():
        base = predicting_states(model, batch)
    distances, rows = [], chunk_of(causal_lm(model), arm.device)
    for states in zip(arm.split(rows), base.split(rows), strict=True):
        p, q = (logits(model, batch, chunk).log_softmax(-1) for chunk in states)
        # A token that the ARM rules out has no part: 0 * -inf is no number.
        distances.append((p.exp() * (p - q)).masked_fill(p == -torch.inf, 0).sum(-1))
    return torch.cat(distances)


def evaluation_diagnostics(
    metrics: Mapping[str, float], first: Mapping[str, float] | None, *, tokens: float, longer: float
) -> dict[str, float]:
    """What an evaluation shows beyond loss and accuracy; `first` is the first evaluation of the training.

    `metrics` holds means over pairs, `tokens` is the mean length of a chosen response, `longer` the share of
    pairs in which the longer response is the chosen one.
    """
    before = first or {names.evaluation_name(name): value for name, value in metrics.items()}
    chosen, rejected = (
        metrics[name] - before[names.evaluation_name(name)]
        for name in (names.CHOSEN_LOGP, names.REJECTED_LOGP)
    )
    return {
        names.CHOSEN_DRIFT: chosen,
        names.REJECTED_DRIFT: rejected,
        names.CHOSEN_PERPLEXITY: math.exp(min(-metrics[names.CHOSEN_LOGP] / tokens, 700.0)),
        names.LONGER_IS_CHOSEN: longer,
        names.OVER_LONGER: metrics[names.ACCURACY] - longer,
    }


def reward_hacking_warning(
    evaluations: Sequence[Mapping[str, float]], pairs: int, *, implicit: bool = False
) -> str | None:
    """A warning where the margin grows and accuracy does not: rewards grow without being more often right.

    Over the last four evaluations of `pairs` pairs: the margin rose each time, by a fifth in all, while
    accuracy gained less than its standard error, sqrt(a (1 - a) / pairs), at the first. With `implicit`, both
    are of the implicit reward, which a loss over the start fits.
    """
    margin, accuracy, kind = names.EVALUATION_MARGIN, names.EVALUATION_ACCURACY, ""
    if implicit:
        margin, accuracy = names.evaluation_name(names.IMPLICIT_MARGIN), names.EVALUATION_IMPLICIT
        kind = "implicit "
    last = [row for row in evaluations if margin in row and accuracy in row][-EVALUATIONS:]
    if len(last) < EVALUATIONS:
        return None
    margins = [row[margin] for row in last]
    before, after = (last[i][accuracy] for i in (0, -1))
    noise = math.sqrt(before * (1 - before) / pairs)
    rising = all(b > a for a, b in pairwise(margins))
    grown = rising and margins[-1] - margins[0] >= GROWTH * abs(margins[0])
    if not grown or after - before >= max(noise, 1 / pairs):
        return None
    return (
        f"a sign of reward hacking: over the last {EVALUATIONS} evaluations "
        f"(steps {last[0].get(names.STEP, 0):.0f} to {last[-1].get(names.STEP, 0):.0f}) the {kind}margin "
        f"grew from {margins[0]:.3g} to {margins[-1]:.3g}, while {kind}accuracy went from {before:.3f} to "
        f"{after:.3f};"
        " fewer epochs, a lower train.learning_rate or early stopping would avoid it"
    )
