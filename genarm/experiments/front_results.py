"""The fronts of an experiment: points with intervals, hypervolumes, attainment, and who encloses more.

A point whose text exceeds the limits that tuning has does not count: a judge that counts words rewards
gibberish for being short. What all points would enclose is told beside.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from genarm.evaluation.shown_limits import text_faults
from genarm.experiments import claims as claimed
from genarm.experiments import fronts
from genarm.experiments.claims import Claim
from genarm.experiments.config import GOLD, HELD_OUT
from genarm.experiments.load import Experiment
from genarm.experiments.measured import Measured, common
from genarm.experiments.resampling import Array, Sampled, mean
from genarm.types import Estimate

FEWEST = 4  # prompts: two in each half


@dataclass(frozen=True, slots=True)
class Point:
    """One point of a front; `means` by dimension, in standard deviations of the base above its mean.

    `faults` are the limits of the text that its answers exceed.
    """

    settings: Mapping[str, Any]
    means: Mapping[str, Estimate]
    faults: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Front:
    """One row's front by one judge: its points, its hypervolume by split halves, and attained surfaces.

    `worst` is the largest that the smallest mean of a point is, by the same halves; NaN where none counts.
    `of_all` is the hypervolume with the points that exceed a limit of the text.
    """

    row: str
    judge: str
    points: Sequence[Point]
    hypervolume: Estimate
    worst: Estimate
    of_all: Estimate
    attained: Mapping[str, Sequence[tuple[float, float]]] = field(default_factory=dict)

    @property
    def counted(self) -> str:
        """How many points it has: `3 of 5` where two exceed a limit of the text."""
        within = sum(not point.faults for point in self.points)
        return str(within) if within == len(self.points) else f"{within} of {len(self.points)}"


def has_fronts(experiment: Experiment) -> bool:
    """Whether any row has several points, and there are two dimensions to draw them on."""
    config = experiment.config
    return len(config.judges) == 2 and any(row.front for row in config.methods.values())


def judged_by(experiment: Experiment) -> dict[str, dict[str, str]]:
    """Name -> by dimension, the judge whose scores a front is made of.

    The gold judges; and the held-out ones, where a dimension that has none keeps its gold judge and the name
    says so. Where no dimension has one there are the gold judges alone.
    """
    judges = experiment.config.judges
    found = {GOLD: dict.fromkeys(judges, GOLD)}
    without = [d for d, j in judges.items() if j.held_out is None or j.held_out == j.gold]
    if len(without) < len(judges):
        name = "held out" + "".join(f", {dimension} by gold" for dimension in without)
        found[name] = {d: GOLD if d in without else HELD_OUT for d in judges}
    return found


def compared_fronts(experiment: Experiment) -> tuple[list[Front], list[Claim]]:
    """The fronts of all rows that have one, by each judge, and the claims about them.

    Scores are standardised by the mean and the deviation of the base's, so the base stands at (0, 0). All
    fronts are of the prompts that every one of these rows answered.
    """
    config = experiment.config
    if not has_fronts(experiment):
        return [], []
    rows = [row for row, own in config.methods.items() if own.front]
    measured = {row: Measured(experiment, row) for row in ("base", *rows)}
    found: list[Front] = []
    samples: dict[str, dict[str, Sampled]] = {}
    n = 0
    reference = np.full(len(config.judges), config.reference_point)
    faults = {row: _faults(measured, row) for row in rows}
    kept = {row: [not told for told in of_row] for row, of_row in faults.items()}
    for name, judges in judged_by(experiment).items():
        given = [(measured[row].prompts, _standardised(measured, row, judges)) for row in rows]
        scores = dict(zip(rows, common(given), strict=True))
        n = min(array.shape[-1] for array in scores.values())
        if any(np.isnan(array).any() for array in scores.values()) or n < FEWEST:
            continue  # a judge that only compares has no scores, and so no front
        counted = {row: array[:, kept[row]] for row, array in scores.items()}
        samples[name] = fronts.volumes(counted, reference)
        of_all = fronts.volumes(scores, reference)
        worst = fronts.split(counted, fronts.split_worst)
        for row, array in scores.items():
            surface = fronts.attainment(counted[row])
            found.append(
                Front(
                    row=row,
                    judge=name,
                    points=_points(experiment, row, list(judges), array, faults[row]),
                    hypervolume=samples[name][row].estimate(n),
                    worst=worst[row].estimate(n),
                    of_all=of_all[row].estimate(n),
                    attained={f"{band:g}": points for band, points in surface.items()},
                )
            )
    return found, _claims(experiment, samples, n)


def _claims(experiment: Experiment, samples: Mapping[str, Mapping[str, Sampled]], n: int) -> list[Claim]:
    given = experiment.config.claims
    if given is None:
        return []
    found = []
    for other in given.front_over:
        differences = {judge: by[given.subject].minus(by[other]).estimate(n) for judge, by in samples.items()}
        points = len(experiment.points(given.subject)), len(experiment.points(other))
        found.append(claimed.front(given.subject, other, differences, points))
    return found


def points_beyond(found: Sequence[Front]) -> str:
    """How many points of each row do not count; empty where all do."""
    beyond = {front.row: sum(bool(point.faults) for point in front.points) for front in found}
    if not any(beyond.values()):
        return ""
    named = ", ".join(f"{row} {n}" for row, n in beyond.items() if n)
    return f"points whose text exceeds the limits of tuning count in no front: {named}"


def unequal_points(found: Sequence[Front]) -> str:
    """What a reader must know of fronts of unequal numbers of points; empty where all have as many."""
    points = {front.row: len(front.points) for front in found}
    if len(set(points.values())) < 2:
        return ""
    named = ", ".join(f"{row} {n}" for row, n in points.items())
    return (
        f"the fronts have unequal numbers of points ({named}): more points enclose more, and their best by "
        "chance looks better, so that only rows with as many points compare"
    )


def _standardised(measured: Mapping[str, Measured], row: str, judges: Mapping[str, str]) -> Array:
    """Scores [s, n, d, p] of all points, less the base's mean and over its deviation."""
    own, base = measured[row], measured["base"]
    arrays = []
    for dimension, judge in judges.items():
        theirs = base.scores(dimension, judge)
        spread = float(np.std(theirs)) or 1.0
        points = [own.scores(dimension, judge, i) for i in range(len(own.experiment.points(row)))]
        arrays.append((np.stack(points, axis=1) - float(np.mean(theirs))) / spread)  # [s, n, p]
    return np.stack(arrays, axis=2)


def _points(
    experiment: Experiment, row: str, dimensions: Sequence[str], scores: Array, faults: Sequence[list[str]]
) -> list[Point]:
    return [
        Point(settings, {d: mean(scores[:, i, j]) for j, d in enumerate(dimensions)}, faults[i])
        for i, settings in enumerate(experiment.points(row))
    ]


def _faults(measured: Mapping[str, Measured], row: str) -> list[list[str]]:
    """For each point of a row, the limits of the text that it exceeds with the first seed that does."""
    own, (base,) = measured[row], list(measured["base"].answers.values())[:1]
    asked, ratio = set(own.prompts), own.experiment.config.tuning.max_health_ratio
    theirs = [answer.response for answer in base if answer.response.prompt_id in asked]
    found = []
    for point in range(len(own.experiment.points(row))):
        of_seeds = (
            [answer.response for answer in answers if answer.point == point]
            for answers in own.answers.values()
        )
        told = (
            text_faults(theirs, responses, ratio) if any(r.tokens for r in responses) else ["no token at all"]
            for responses in of_seeds
        )
        found.append(next(filter(None, told), []))
    return found
