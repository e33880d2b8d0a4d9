"""What each ARM gets right on its validation pairs, by what it learned and by its log-probability."""

from collections.abc import Mapping
from dataclasses import dataclass

from genarm.evaluation.win_rate import Z_TWO_SIDED, wilson
from genarm.system import metric_names as names
from genarm.types import Estimate

# How training names its metrics of the last evaluation.
TRAINED = "validation/"
PARTS = dict(zip(names.STRATA, ("longer chosen", "shorter chosen", "equally long"), strict=True))
# Each reward: the names of its accuracy, margin, calibration error and Brier score.
REWARDS = {
    "implicit": (
        names.IMPLICIT_ACCURACY,
        names.IMPLICIT_MARGIN,
        names.IMPLICIT_CALIBRATION,
        names.IMPLICIT_BRIER,
    ),
    "summed": ("accuracy", "margin", names.SUM_CALIBRATION, names.SUM_BRIER),
}


@dataclass(frozen=True, slots=True)
class Learned:
    """One reward on the validation pairs of one dimension; None is not known.

    An accuracy has its 95% interval (Wilson) and its number of pairs, `by_length` one for each of `PARTS`.
    `margin` is the mean in nats; `calibration` and `brier` are of sigmoid(beta * margin).
    """

    dimension: str
    reward: str
    accuracy: Estimate | None
    by_length: tuple[Estimate | None, ...]
    margin: float | None = None
    calibration: float | None = None
    brier: float | None = None


def learned(train_metrics: Mapping[str, Mapping[str, float]]) -> list[Learned]:
    """For each dimension the implicit reward, the summed one, and a rule that prefers the longer response."""
    rows = []
    for dimension, metrics in train_metrics.items():
        for reward, (accuracy, *others) in REWARDS.items():
            if right := _estimate(metrics, accuracy, "pairs"):
                told = (metrics.get(TRAINED + name) for name in others)
                rows.append(Learned(dimension, reward, right, by_length(metrics, accuracy), *told))
        if longer := _estimate(metrics, names.LONGER_IS_CHOSEN, "pairs"):
            rows.append(Learned(dimension, "longer", longer, (None,) * len(PARTS)))
    return rows


def by_length(metrics: Mapping[str, float], accuracy: str) -> tuple[Estimate | None, ...]:
    """An accuracy on each of `PARTS`; None where it was not measured or has no pairs."""
    return tuple(
        _estimate(metrics, names.stratum_name(part, accuracy), names.stratum_name(part, "pairs"))
        for part in PARTS
    )


def _estimate(metrics: Mapping[str, float], accuracy: str, pairs: str) -> Estimate | None:
    """An accuracy and its interval; None where it was not measured or has no pairs."""
    value, n = metrics.get(TRAINED + accuracy), metrics.get(TRAINED + pairs)
    return None if value is None or not n else Estimate(value, wilson(value, int(n), Z_TWO_SIDED), int(n))
