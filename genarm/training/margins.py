"""What the margins of preference pairs say: how often they are right, how well calibrated, at which lengths.

A margin is r(x, chosen) - r(x, rejected) in nats, of one of two rewards:

summed    r = log p_arm(y | x), what training without a reference fits and what decoding adds up
implicit  r = log p_arm(y | x) - log p_start(y | x), what training taught; the start is the model below the
          ARM, also where training went on from another ARM
"""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from genarm.system import metric_names as names

BINS = 10


def accuracy(margins: Tensor) -> float:
    """The share of margins [p] above zero; zero counts half. No number where one of them is none."""
    if margins.isnan().any():
        return float("nan")
    return ((margins > 0).double() + 0.5 * (margins == 0).double()).mean().item()


def brier_score(margins: Tensor, beta: float) -> float:
    """mean (1 - q)^2, q = sigmoid(beta * margin) the probability given to the choice that was made.

    0.25 is that of q = 1/2 throughout, 0 the best. Brier, 1950.
    """
    return (1 - torch.sigmoid(beta * margins.double())).square().mean().item()


def calibration_error(margins: Tensor, beta: float) -> float:
    """Expected calibration error: sum over bins of n_b / n |accuracy_b - confidence_b|.

    With q = sigmoid(beta * margin), the confidence of a pair is max(q, 1 - q): how sure it is of the response
    that it prefers, which is right where the margin is above zero (a tie half). Confidences from 1/2 to 1 lie
    in ten bins of equal width (Guo et al., arXiv 1706.04599, equation 3).
    """
    q = torch.sigmoid(beta * margins.double())
    confidence = torch.maximum(q, 1 - q)
    right = (margins > 0).double() + 0.5 * (margins == 0).double()
    bins = ((confidence - 0.5) * 2 * BINS).nan_to_num().long().clamp(0, BINS - 1)
    gaps = torch.zeros(BINS, dtype=torch.float64).index_add(0, bins, right - confidence)
    return (gaps.abs().sum() / len(margins)).item()


def strata(lengths: npt.NDArray[np.int64]) -> dict[str, Tensor]:
    """Which pairs belong to each stratum; lengths [p, 2] tokens of chosen and rejected -> [p] bool each."""
    longer = torch.from_numpy(lengths[:, 0] - lengths[:, 1])
    return dict(zip(names.STRATA, (longer > 0, longer < 0, longer == 0), strict=True))


def sum_measures(margins: Tensor, beta: float, parts: dict[str, Tensor]) -> dict[str, float]:
    """Calibration and accuracy by length of summed margins [p]; their mean and accuracy have TRL's names."""
    return {
        names.SUM_BRIER: brier_score(margins, beta),
        names.SUM_CALIBRATION: calibration_error(margins, beta),
        **{names.stratum_name(part): right for part, right in _by_length(margins, parts)},
    }


def implicit_measures(
    margins: Tensor, start: Tensor, beta: float, parts: dict[str, Tensor]
) -> dict[str, float]:
    """Accuracy, mean in nats, calibration and accuracy by length of the implicit reward.

    `margins` [p] are the summed ones of each pair now, `start` [p] those of the model below the ARM:
    r(chosen) - r(rejected) is their difference. An accuracy of 0.5 says that training taught nothing of
    these pairs.
    """
    gained = margins - start
    return {
        names.IMPLICIT_ACCURACY: accuracy(gained),
        names.IMPLICIT_MARGIN: gained.mean().item(),
        names.IMPLICIT_BRIER: brier_score(gained, beta),
        names.IMPLICIT_CALIBRATION: calibration_error(gained, beta),
        **{
            names.stratum_name(part, names.IMPLICIT_ACCURACY): right
            for part, right in _by_length(gained, parts)
        },
    }


def _by_length(margins: Tensor, parts: dict[str, Tensor]) -> list[tuple[str, float]]:
    """The accuracy on each stratum that has pairs."""
    return [(part, accuracy(margins[chosen])) for part, chosen in parts.items() if chosen.any()]
