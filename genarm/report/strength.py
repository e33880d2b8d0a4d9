"""What the tuning of an ARM's weight showed: the curve as a picture, and its rows as a table."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from genarm.report.given import ReportInput
from genarm.report.plane import Level, Mark, Plane, plane
from genarm.types import StrengthPoint, Tuned

NAMES = {"base": "base", "sharpened": "base at temperature {temperature:.2f}", "guided": "weight {weight:g}"}


@dataclass(frozen=True, slots=True)
class StrengthRow:
    """One row of the table: what was answered with, whether it is the one taken, and the numbers."""

    name: str
    chosen: bool
    point: StrengthPoint


@dataclass(frozen=True, slots=True)
class StrengthCurve:
    """The tuning of one dimension."""

    dimension: str
    tuned: Tuned
    rows: Sequence[StrengthRow]
    picture: Markup


def strength_curves(given: ReportInput) -> list[StrengthCurve]:
    """One entry for each dimension whose weight was found; none where all stand in params.yaml."""
    return [_curve(dimension, tuned) for dimension, tuned in given.tuned.items() if tuned.curve]


def _curve(dimension: str, tuned: Tuned) -> StrengthCurve:
    rows = [
        StrengthRow(
            NAMES[p.kind].format(temperature=p.temperature, weight=p.weight),
            tuned.within_limits and p.kind == "guided" and p.weight == tuned.weight,
            p,
        )
        for p in tuned.curve
    ]
    return StrengthCurve(dimension, tuned, rows, strength_picture(dimension, rows))


def strength_picture(dimension: str, rows: Sequence[StrengthRow]) -> Markup:
    """Win rate over the base by KL: the judge's with the weights beside it, the held-out judge's hollow.

    A weight that exceeds a limit has a mark of its own style; the sharpened base, which has no KL, is a
    line across.
    """
    guided = [r for r in rows if r.point.kind == "guided"]
    on_curve = [r.point for r in rows if r.point.kind in ("base", "guided") and r.point.kl is not None]
    marks, lines = list[Mark](), list[tuple[str, list[tuple[float, float]]]]()
    held_out = [(p.kl or 0.0, p.held_out.value) for p in on_curve if p.held_out]
    if held_out:
        lines.append(("held-out", held_out))
    lines.append(("judge", [(p.kl or 0.0, p.win_rate.value) for p in on_curve]))
    for row in guided:
        p = row.point
        if p.held_out:
            marks.append(Mark(p.kl or 0.0, p.held_out.value, "held-out", p.held_out.interval))
        kind = "judge beyond" if p.faults else "judge"
        label = f"{p.weight:g}"
        marks.append(
            Mark(p.kl or 0.0, p.win_rate.value, kind, p.win_rate.interval, label=label, ringed=row.chosen)
        )
    marks += [Mark(0.0, 0.5, "origin", label="base", below=True, right=True)]
    levels = [
        Level(r.point.win_rate.value, r.point.win_rate.interval, r.name)
        for r in rows
        if r.point.kind == "sharpened"
    ]
    axes = Plane("KL to the base, nats a token", f"win rate over the base on {dimension}")
    return plane(axes, marks, lines, levels)
