"""How the scores of each side are distributed, where the judges compare scores."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from genarm.report.given import ReportInput, side_name
from genarm.report.svg import histogram


@dataclass(frozen=True, slots=True)
class ScoreRow:
    """The scores of one side's responses on one dimension."""

    name: str
    n: int
    mean: float
    p10: float
    median: float
    p90: float


@dataclass(frozen=True, slots=True)
class Scores:
    """All sides on one dimension; `picture` shows the base, and the sides that were trained for it."""

    dimension: str
    rows: Sequence[ScoreRow]
    picture: Markup


def scores(given: ReportInput) -> list[Scores]:
    """One entry for each dimension with scores, its own sides first."""
    found: dict[str, dict[str, dict[str, float]]] = {}  # judged dimension -> side -> prompt -> score
    for dimension, verdicts in given.verdicts.items():
        for verdict in (v for v in verdicts if not v.held_out):
            for side, score in zip((verdict.left, verdict.right), verdict.scores or (), strict=False):
                sides = found.setdefault(verdict.dimension, {})
                sides.setdefault(side_name(dimension, side), {})[verdict.prompt_id] = score
    result = []
    for judged in (s.dimension for s in given.scorecards if s.dimension in found):
        own = ["base", side_name(judged, "champion"), side_name(judged, "challenger")]
        sides = found[judged]
        order = [*(n for n in own if n in sides), *sorted(set(sides) - set(own))]
        values = {name: [sides[name][prompt] for prompt in sorted(sides[name])] for name in order}
        picture = histogram(f"scores on {judged}", {n: v for n, v in values.items() if n in own})
        result.append(Scores(judged, [_row(name, rows) for name, rows in values.items()], picture))
    return result


def _row(name: str, values: Sequence[float]) -> ScoreRow:
    tenths = statistics.quantiles(values, n=10, method="inclusive") if len(values) > 1 else [values[0]] * 9
    return ScoreRow(
        name, len(values), statistics.fmean(values), tenths[0], statistics.median(values), tenths[8]
    )
