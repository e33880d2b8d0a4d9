"""The report's pictures as inline SVG: intervals on a line, and curves over steps.

Strings of numbers and escaped text, so the same input gives the same bytes. Colours come from the
page's style sheet, so that the pictures follow its light and dark themes.
"""

import math
from collections.abc import Mapping, Sequence

from markupsafe import Markup, escape

from genarm.types import Comparison, Estimate

Points = Sequence[tuple[float, float]]

WIDTH, HEIGHT = 330, 190  # of a chart, in its own units
LEFT, RIGHT, TOP, BOTTOM = 40, 10, 12, 26  # margins that hold the tick labels
BINS = 24  # of a histogram


def interval_strip(comparison: Comparison) -> Markup:
    """One row of the forest plot: the win rate and its interval on [0, 1], a line at 1/2.

    Positions are in per cent, so a row is as wide as its column and its marks keep their size. A filled mark
    is the win rate, a hollow one below it the length-controlled one.
    """
    marks = [f'<line class="grid" x1="{x}%" x2="{x}%" y1="0" y2="30"/>' for x in (0, 25, 75, 100)]
    marks.append('<line class="half" x1="50%" x2="50%" y1="0" y2="30"/>')
    controlled = comparison.length_controlled
    if controlled:
        marks.append(_mark(controlled, 22, "controlled", 3.5))
    marks.append(_mark(comparison.win_rate, 12 if controlled else 15, "raw", 5))
    label = f"{comparison.left} against {comparison.right} on {comparison.dimension}: {comparison.win_rate}"
    return Markup(
        f'<svg class="strip" width="100%" height="30" role="img" aria-label="{escape(label)}">'
        f"{''.join(marks)}</svg>"
    )


def curves(name: str, series: Mapping[str, Points]) -> Markup:
    """One chart of `series`, name -> points (step, value); `validation` is drawn with a dot on each point."""
    series = {kind: [p for p in line if math.isfinite(p[1])] for kind, line in series.items()}
    points = [p for line in series.values() for p in line]
    if not points:
        return Markup("")
    xs, ys = [p[0] for p in points], [p[1] for p in points]
    x_ticks, y_ticks = ticks(0, max(*xs, 1), 4), ticks(min(ys), max(ys), 4)
    low, high = min(*y_ticks, *ys), max(*y_ticks, *ys)
    right = max(*x_ticks, *xs)

    def at(x: float, y: float) -> tuple[float, float]:
        across = LEFT + x / right * (WIDTH - LEFT - RIGHT)
        down = HEIGHT - BOTTOM - (y - low) / (high - low) * (HEIGHT - TOP - BOTTOM)
        return round(across, 1), round(down, 1)

    parts = []
    for tick in y_ticks:
        _, y = at(0, tick)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 3.5}" text-anchor="end">{tick:g}</text>')
    for tick in x_ticks:
        x, _ = at(tick, low)
        parts.append(f'<text x="{x}" y="{HEIGHT - 8}" text-anchor="middle">{tick:g}</text>')
    for kind, line in series.items():
        path = " ".join(f"{x},{y}" for x, y in (at(*p) for p in line))
        parts.append(f'<polyline class="{escape(kind)}" points="{path}"/>')
        if kind == "validation":
            dots = (at(*p) for p in line)
            parts.extend(f'<circle class="{escape(kind)}" cx="{x}" cy="{y}" r="3"/>' for x, y in dots)
    return Markup(
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(name)} by step">'
        f"{''.join(parts)}</svg>"
    )


def ticks(low: float, high: float, most: int) -> list[float]:
    """Round numbers that span low to high: at most `most` steps of 1, 2 or 5 times a power of ten."""
    if low == high:
        low, high = low - 0.5, high + 0.5
    power = 10.0 ** math.floor(math.log10((high - low) / most))
    for step in (power * m for m in (1, 2, 5, 10, 20)):
        first, last = math.floor(low / step), math.ceil(high / step)
        if last - first <= most:
            break
    return [round(i * step, 12) for i in range(first, last + 1)]


def _mark(estimate: Estimate, y: int, kind: str, radius: float) -> str:
    low, high = (f"{100 * end:.2f}%" for end in estimate.interval)
    return (
        f'<line class="{kind}" x1="{low}" x2="{high}" y1="{y}" y2="{y}"/>'
        f'<circle class="{kind}" cx="{100 * estimate.value:.2f}%" cy="{y}" r="{radius:g}"/>'
    )


def histogram(name: str, series: Mapping[str, Sequence[float]]) -> Markup:
    """Outlines of how often values occur, a line for each of `series`; the first is filled.

    All have the same bins, and heights are shares of each one's own values.
    """
    values = [v for line in series.values() for v in line]
    if not values:
        return Markup("")
    marks = ticks(min(values), max(values), 7)
    low, high = marks[0], marks[-1]
    shares = {kind: _shares(line, low, high) for kind, line in series.items() if line}
    top = max(s for line in shares.values() for s in line)
    floor = _down(0, top)
    parts = [f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{floor}" y2="{floor}"/>']
    for mark in marks:
        x = round(LEFT + (mark - low) / (high - low) * (WIDTH - LEFT - RIGHT), 1)
        parts.append(f'<text x="{x}" y="{HEIGHT - 8}" text-anchor="middle">{mark:g}</text>')
    step = (WIDTH - LEFT - RIGHT) / BINS
    for kind, line in shares.items():
        points = [f"{LEFT},{floor}"]
        for i, part in enumerate(line):
            y = _down(part, top)
            points += [f"{LEFT + i * step:.1f},{y}", f"{LEFT + (i + 1) * step:.1f},{y}"]
        points.append(f"{WIDTH - RIGHT},{floor}")
        parts.append(f'<polyline class="{escape(kind.rpartition(" ")[2])}" points="{" ".join(points)}"/>')
    return Markup(
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(name)}">'
        f"{''.join(parts)}</svg>"
    )


def _shares(values: Sequence[float], low: float, high: float) -> list[float]:
    counts = [0] * BINS
    for value in values:
        counts[min(BINS - 1, int((value - low) / (high - low) * BINS))] += 1
    return [count / len(values) for count in counts]


def _down(part: float, top: float) -> float:
    return round(HEIGHT - BOTTOM - part / top * (HEIGHT - TOP - BOTTOM), 1)
