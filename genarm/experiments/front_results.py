"""The fronts of an experiment: points with intervals, hypervolumes, attainment, and who encloses more."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from genarm.experiments import claims as claimed
from genarm.experiments import fronts
from genarm.experiments.claims import Claim
from genarm.experiments.config import GOLD, HELD_OUT
from genarm.experiments.load import Experiment
from genarm.experiments.measured import Measured
from genarm.experiments.resampling import Array, mean
from genarm.types import Estimate

FEWEST = 4  # prompts: two in each half


@dataclass(frozen=True, slots=True)
class Point:
    """One point of a front; `means` by dimension, in standard deviations of the base above its mean."""

    settings: Mapping[str, Any]
    means: Mapping[str, Estimate]
    worst: float  # the smallest of the means


@dataclass(frozen=True, slots=True)
class Front:
    """One row's front by one judge: its points, its hypervolume by split halves, and attained surfaces."""

    row: str
    judge: str
    points: Sequence[Point]
    hypervolume: Estimate
    attained: Mapping[str, Sequence[tuple[float, float]]] = field(default_factory=dict)


def has_fronts(experiment: Experiment) -> bool:
    """Whether any row has several points, and there are two dimensions to draw them on."""
    config = experiment.config
    return len(config.judges) == 2 and any(row.front for row in config.methods.values())


def compared_fronts(experiment: Experiment) -> tuple[list[Front], list[Claim]]:
    """The fronts of all rows that have one, by each judge, and the claims about them.

    Scores are standardised by the mean and the deviation of the base's, so the base stands at (0, 0).
    """
    config = experiment.config
    if not has_fronts(experiment):
        return [], []
    dimensions = list(config.judges)
    named = [GOLD] + ([HELD_OUT] if all(j.held_out for j in config.judges.values()) else [])
    rows = [row for row, own in config.methods.items() if own.front]
    measured = {row: Measured(experiment, row) for row in ("base", *rows)}
    found: list[Front] = []
    samples: dict[str, dict[str, tuple[float, Array]]] = {}
    reference = np.full(len(dimensions), config.reference_point)
    for judge in named:
        scores = {row: _standardised(measured, row, dimensions, judge) for row in rows}
        if any(np.isnan(array).any() or array.shape[-1] < FEWEST for array in scores.values()):
            continue  # a judge that only compares has no scores, and so no front
        samples[judge] = fronts.volumes(scores, reference)
        for row, array in scores.items():
            value, sample = samples[judge][row]
            surface = fronts.attainment(array)
            found.append(
                Front(
                    row=row,
                    judge=judge.replace("_", " "),
                    points=_points(experiment, row, dimensions, array),
                    hypervolume=fronts.estimate(value, sample, array.shape[-1]),
                    attained={f"{band:g}": points for band, points in surface.items()},
                )
            )
    return found, _claims(experiment, samples, len(measured["base"].prompts))


def _claims(
    experiment: Experiment, samples: Mapping[str, Mapping[str, tuple[float, Array]]], n: int
) -> list[Claim]:
    given = experiment.config.claims
    if given is None:
        return []
    if not samples:
        why = "no judge gives scores of both dimensions to all responses of the rows that have a front"
        return [claimed.without_numbers("front", given.subject, other, why) for other in given.front_over]
    said = [
        claimed.front(
            given.subject,
            other,
            {
                judge.replace("_", " "): fronts.estimate(
                    by[given.subject][0] - by[other][0], by[given.subject][1] - by[other][1], n
                )
                for judge, by in samples.items()
            },
        )
        for other in given.front_over
    ]
    if HELD_OUT in samples:
        return said
    without = ", ".join(d for d, judges in experiment.config.judges.items() if judges.held_out is None)
    lacking = f"a held-out judge of {without}" if without else "scores of the held-out judges"
    return [_unconfirmed(claim, lacking) for claim in said]


def _unconfirmed(claim: Claim, lacking: str) -> Claim:
    """The same claim, which scores of the gold judge alone do not confirm."""
    if claim.verdict != "confirms":
        return claim
    why = f"{claim.why}; it takes {lacking} to confirm it"
    return replace(claim, verdict="inconclusive", why=why)


def _standardised(measured: Mapping[str, Measured], row: str, dimensions: Sequence[str], judge: str) -> Array:
    """Scores [s, n, d, p] of all points, less the base's mean and over its deviation."""
    own, base = measured[row], measured["base"]
    arrays = []
    for dimension in dimensions:
        theirs = base.scores(dimension, judge)
        spread = float(np.std(theirs)) or 1.0
        points = [own.scores(dimension, judge, i) for i in range(len(own.experiment.points(row)))]
        arrays.append((np.stack(points, axis=1) - float(np.mean(theirs))) / spread)  # [s, n, p]
    return np.stack(arrays, axis=2)


def _points(experiment: Experiment, row: str, dimensions: Sequence[str], scores: Array) -> list[Point]:
    found = []
    for i, settings in enumerate(experiment.points(row)):
        means = {d: mean(scores[:, i, j]) for j, d in enumerate(dimensions)}
        found.append(Point(settings, means, min(m.value for m in means.values())))
    return found
