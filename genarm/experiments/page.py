"""The page of an experiment: forest plot, strength curves and fronts as SVG, and the table."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import ChoiceLoader, Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from genarm.report.build import TEMPLATES as REPORT_TEMPLATES
from genarm.report.plane import Mark, Plane, plane
from genarm.types import Estimate

if TYPE_CHECKING:
    from genarm.experiments.results import Row
    from genarm.experiments.tables import Results

TEMPLATES = Path(__file__).parent / "templates"


def write_page(file: Path, results: "Results") -> None:
    """Write the page. The same results give the same bytes."""
    from genarm.experiments.tables import cells, columns, interval
    from genarm.system.files import write_text

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
        "strength": strength(results.rows),
        "fronts": [picture for picture in front_pictures(results) if picture],
        "columns": columns(results),
        "table": [cells(results, row) for row in results.rows],
        "interval": interval,
        "first": first,
    }
    write_text(file, _environment().get_template("experiment.html").render(view))


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


def strength(rows: "list[Row]") -> Markup:
    """Win rate over the base by KL for all settings that tuning tried; the chosen ones are ringed."""
    marks, lines = [Mark(0.0, 0.5, "origin", label="base", below=True)], []
    for row in rows:
        if row.tuned is None:
            continue
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
    return (
        plane(Plane("KL to the base, nats a token", "win rate over the base"), marks, lines)
        if lines
        else Markup("")
    )


def front_pictures(results: "Results") -> list[Markup]:
    """One picture a judge and row: its points, and the surfaces that its fronts attain."""
    found = []
    for judge in dict.fromkeys(front.judge for front in results.fronts):
        marks = [Mark(0.0, 0.0, "origin", label="base", below=True)]
        lines = []
        across, up = results.dimensions[:2]
        for front in (f for f in results.fronts if f.judge == judge):
            points = [(p.means[across], p.means[up]) for p in front.points]
            marks += [
                Mark(
                    x.value,
                    y.value,
                    "mixture",
                    y.interval,
                    x.interval,
                    label=front.row if i == 0 else "",
                    right=True,
                )
                for i, (x, y) in enumerate(points)
            ]
            for band, kind in (("50", "judge"), ("2.5", "held-out"), ("97.5", "held-out")):
                lines.append((kind, _stairs(front.attained.get(band, []))))
        axes = Plane(f"{across}, deviations of the base", f"{up} by {judge}", (0.0,), (0.0,), True, 0.0)
        found.append(plane(axes, marks, lines))
    return found


def _stairs(points: "Any") -> list[tuple[float, float]]:
    """An attained surface as a line of steps, from left to right."""
    ordered, steps = sorted(points), list[tuple[float, float]]()
    for i, (x, y) in enumerate(ordered):
        if i:
            steps.append((ordered[i - 1][0], y))
        steps.append((x, y))
    return steps
