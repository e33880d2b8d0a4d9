"""The page of an experiment: forest plot, strength curves and fronts as SVG, and the table."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import ChoiceLoader, Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from genarm.experiments.tables import (
    MARKED,
    MODEL_COLUMNS,
    Results,
    cells,
    columns,
    interval,
    model_cells,
    signed,
)
from genarm.report.build import TEMPLATES as REPORT_TEMPLATES
from genarm.report.plane import Mark, Plane, plane
from genarm.system.files import write_text
from genarm.types import Estimate

if TYPE_CHECKING:
    from genarm.experiments.front_results import Front

COLOURS = 5  # of fronts, in the template
TEMPLATES = Path(__file__).parent / "templates"


def write_page(file: Path, results: Results) -> None:
    """Write the page. The same results give the same bytes."""
    first = next(iter(results.judges))
    forests = {
        name: [
            (
                row.name,
                strip(row.over[name].by[first], row.over[name].controlled),
                interval(row.over[name].by[first]),
            )
            for row in results.rows
            if name in row.over
        ]
        for name in results.over
    }
    view: dict[str, Any] = {
        "r": results,
        "forests": forests,
        "strength": strength(results),
        "fronts": front_pictures(results),
        "tables": tables(results),
        "model_columns": MODEL_COLUMNS,
        "models": [model_cells(model) for model in results.models],
        "interval": interval,
        "judges": {signed(results, column, column): who for column, who in results.judges.items()},
        "first": signed(results, first, first),
        "marked": MARKED if results.marked else "",
    }
    write_text(file, _environment().get_template("experiment.html").render(view))


def tables(results: Results) -> list[tuple[str, list[str], list[list[str]]]]:
    """Title, columns and rows of both halves of the table: how responses were judged, and what they cost."""
    names = columns(results)
    cut, all_cells = names.index("KL"), [cells(results, row) for row in results.rows]
    halves = [*range(cut), len(names) - 1], [0, *range(cut, len(names) - 1)]
    return [
        (title, [names[i] for i in half], [[row[i] for i in half] for row in all_cells])
        for title, half in zip(("All numbers: judged", "All numbers: text and cost"), halves, strict=True)
    ]


def _environment() -> Environment:
    loader = ChoiceLoader([FileSystemLoader(TEMPLATES), FileSystemLoader(REPORT_TEMPLATES)])
    return Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )


def strip(found: Estimate, controlled: Estimate | None) -> Markup:
    """One row of the forest plot: win rate and interval on [0, 1], the length-controlled one below it."""
    marks = [f'<line class="grid" x1="{x}%" x2="{x}%" y1="0" y2="30"/>' for x in (0, 25, 75, 100)]
    marks.append('<line class="half" x1="50%" x2="50%" y1="0" y2="30"/>')
    if controlled:
        marks.append(_mark(controlled, 22, "controlled", 3.5))
    if not math.isnan(found.value):
        marks.append(_mark(found, 12 if controlled else 15, "raw", 5))
    label = escape(str(found))
    return Markup(
        f'<svg class="strip" width="100%" height="30" role="img" aria-label="{label}">{"".join(marks)}</svg>'
    )


def _mark(found: Estimate, y: int, kind: str, radius: float) -> str:
    low, high = (f"{100 * end:.2f}%" for end in found.interval)
    return (
        f'<line class="{kind}" x1="{low}" x2="{high}" y1="{y}" y2="{y}"/>'
        f'<circle class="{kind}" cx="{100 * found.value:.2f}%" cy="{y}" r="{radius:g}"/>'
    )


def strength(results: Results) -> Markup:
    """Win rate over the base by KL for all settings that tuning tried; the chosen ones are ringed."""
    marks, lines = [Mark(0.0, 0.5, "origin", label="base", below=True)], []
    for row in results.rows:
        if row.tuned is None or any(tried.value is not None for tried in row.tuned.curve):
            continue  # a constraint is about another dimension, perhaps, and about another number
        curve = sorted(row.tuned.curve, key=lambda tried: tried.kl)
        lines.append(("judge", [(t.kl, t.win_rate.value) for t in curve]))
        for tried in curve:
            chosen = tried.settings == row.tuned.settings
            marks.append(
                Mark(
                    tried.kl,
                    tried.win_rate.value,
                    "judge beyond" if tried.faults else "judge",
                    tried.win_rate.interval,
                    label=row.name if chosen else "",
                    ringed=chosen,
                )
            )
    wanted = [] if results.kl is None else [(results.kl, f"{results.kl:g}")]
    return (
        plane(Plane("KL to the base, nats a token", "win rate over the base"), marks, lines, upright=wanted)
        if lines
        else Markup("")
    )


def front_pictures(results: Results) -> list[tuple[str, Markup]]:
    """Titles and pictures: by each judge all rows, then each row with the surfaces that its fronts attain."""
    found: list[tuple[str, Markup]] = []
    if not results.fronts:
        return found
    across, up = results.dimensions[:2]
    for judge in dict.fromkeys(front.judge for front in results.fronts):
        own = [front for front in results.fronts if front.judge == judge]
        axes = Plane(f"{across}, deviations of the base", f"{up}, the same", (0.0,), (0.0,), True, 0.0)
        marks, lines = [Mark(0.0, 0.0, "origin", label="base", below=True)], []
        for number, front in enumerate(own):
            kind = f"front-{number % COLOURS}"
            marks += _points(front, across, up, kind)
            lines.append((kind, _stairs(front.attained.get("50", ()))))
        found.append((f"all, by {judge}", plane(axes, marks, lines)))
        for number, front in enumerate(own):
            kind = f"front-{number % COLOURS}"
            bands = [("held-out", _stairs(front.attained.get(band, ()))) for band in ("2.5", "97.5")]
            lines = [(kind, _stairs(front.attained.get("50", ()))), *bands]
            found.append((f"{front.row}, by {judge}", plane(axes, _points(front, across, up, kind), lines)))
    return found


def _points(front: "Front", across: str, up: str, kind: str) -> list[Mark]:
    """The points of a front with their intervals; the first one has its name."""
    found = []
    for i, point in enumerate(front.points):
        x, y = point.means[across], point.means[up]
        label = "" if i else front.row
        shown = f"{kind} beyond" if point.faults else kind
        found.append(Mark(x.value, y.value, shown, y.interval, x.interval, label=label, right=True))
    return found


def _stairs(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """An attained surface as a line of steps, from left to right."""
    ordered, steps = sorted(points), list[tuple[float, float]]()
    for i, (x, y) in enumerate(ordered):
        if i:
            steps.append((ordered[i - 1][0], y))
        steps.append((x, y))
    return steps
