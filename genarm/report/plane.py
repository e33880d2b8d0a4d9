"""Points with intervals on two axes as inline SVG: the strength curve, and fronts of mixtures.

Like the report's other pictures, text and numbers alone: the same input gives the same bytes, and colours
come from the page's style sheet. The vertical axis is a win rate, and 1/2 is marked on it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from genarm.report.svg import ticks

WIDTH, HEIGHT = 600, 330  # of the picture, in its own units
LETTER = 6.6  # the width of a letter of a label, about
LEFT, RIGHT, TOP, BOTTOM = 46, 16, 20, 42  # margins that hold tick labels and names


@dataclass(frozen=True, slots=True)
class Mark:
    """A point: where it stands, its interval upwards and, on two win rates, to the side; its label."""

    x: float
    y: float
    kind: str  # the class that the style sheet knows
    y_interval: tuple[float, float] | None = None
    x_interval: tuple[float, float] | None = None
    label: str = ""
    below: bool = False  # whether the label stands below the point, and not above
    right: bool = False  # and right of it, where that edge leaves room
    ringed: bool = False  # the one that is chosen


@dataclass(frozen=True, slots=True)
class Level:
    """A win rate that has no place on the horizontal axis: a line across, its interval a band."""

    y: float
    interval: tuple[float, float]
    label: str


@dataclass(frozen=True, slots=True)
class Plane:
    """The axes: what they show, and values that they must include."""

    x_name: str
    y_name: str
    x_includes: tuple[float, ...] = (0.0,)
    y_includes: tuple[float, ...] = (0.5,)
    x_half: bool = False  # the horizontal axis is a win rate, too
    middle: float = 0.5  # where the base stands: 1/2 of a win rate


def plane(
    axes: Plane,
    marks: Sequence[Mark],
    lines: Sequence[tuple[str, Sequence[tuple[float, float]]]] = (),
    levels: Sequence[Level] = (),
    upright: Sequence[tuple[float, str]] = (),
) -> Markup:
    """One picture: `lines` (class, points) below the marks, `levels` across, `upright` lines at limits of x.

    What is no number is left out; empty where nothing is left.
    """
    marks = [m for m in marks if math.isfinite(m.x) and math.isfinite(m.y)]
    if not marks:
        return Markup("")
    xs = [*axes.x_includes, *(v for m in marks for v in (m.x, *(m.x_interval or ())))]
    ys = [*axes.y_includes, *(v for m in marks for v in (m.y, *(m.y_interval or ())))]
    ys += [v for level in levels for v in (level.y, *level.interval)]
    x_ticks, y_ticks = ticks(min(xs), max(xs), 6), ticks(min(ys), max(ys), 5)
    frame = _Frame(x_ticks[0], max(x_ticks[-1], max(xs)), y_ticks[0], max(y_ticks[-1], max(ys)))
    parts = frame.grid(x_ticks, y_ticks, axes)
    parts += [part for level in levels for part in frame.level(level)]
    parts += [
        part for x, label in upright if frame.left <= x <= frame.right for part in frame.limit(x, label)
    ]
    for kind, points in lines:
        path = " ".join(f"{frame.x(x)},{frame.y(y)}" for x, y in points if math.isfinite(x))
        parts.append(f'<polyline class="{escape(kind)}" points="{path}"/>')
    parts += [part for mark in marks for part in frame.mark(mark)]
    name = f"{axes.y_name} by {axes.x_name}"
    return Markup(
        f'<svg class="plane" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(name)}">'
        f"{''.join(parts)}</svg>"
    )


@dataclass(frozen=True, slots=True)
class _Frame:
    left: float
    right: float
    low: float
    high: float

    def x(self, value: float) -> float:
        return round(LEFT + (value - self.left) / (self.right - self.left) * (WIDTH - LEFT - RIGHT), 1)

    def y(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return round(HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM), 1)

    def grid(self, x_ticks: Sequence[float], y_ticks: Sequence[float], axes: Plane) -> list[str]:
        floor, right = HEIGHT - BOTTOM, WIDTH - RIGHT
        parts = []
        for tick in y_ticks:
            y = self.y(tick)
            parts.append(f'<line class="grid" x1="{LEFT}" x2="{right}" y1="{y}" y2="{y}"/>')
            parts.append(f'<text x="{LEFT - 8}" y="{y + 3.5}" text-anchor="end">{tick:g}</text>')
        for tick in x_ticks:
            x = self.x(tick)
            parts.append(f'<line class="grid" x1="{x}" x2="{x}" y1="{floor}" y2="{floor + 4}"/>')
            parts.append(f'<text x="{x}" y="{floor + 17}" text-anchor="middle">{tick:g}</text>')
        y = self.y(axes.middle)
        parts.append(f'<line class="half" x1="{LEFT}" x2="{right}" y1="{y}" y2="{y}"/>')
        if axes.x_half:
            x = self.x(axes.middle)
            parts.append(f'<line class="half" x1="{x}" x2="{x}" y1="{TOP}" y2="{floor}"/>')
        parts.append(f'<text x="{right}" y="{HEIGHT - 6}" text-anchor="end">{escape(axes.x_name)}</text>')
        parts.append(f'<text x="{LEFT}" y="{HEIGHT - 6}">{escape(axes.y_name)} ↑</text>')
        return parts

    def level(self, level: Level) -> list[str]:
        low, high = self.y(level.interval[0]), self.y(level.interval[1])
        y, wide = self.y(level.y), WIDTH - LEFT - RIGHT
        at = f'x="{WIDTH - RIGHT}" y="{y - 5}" text-anchor="end"'
        return [
            f'<rect class="band" x="{LEFT}" y="{high}" width="{wide}" height="{round(low - high, 1)}"/>',
            f'<line class="level" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>',
            f"<text {at}>{escape(level.label)}</text>",
        ]

    def limit(self, x: float, label: str) -> list[str]:
        at = self.x(x)
        return [
            f'<line class="half" x1="{at}" x2="{at}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>',
            f'<text x="{at - 5}" y="{TOP + 9}" text-anchor="end">{escape(label)}</text>',
        ]

    def mark(self, mark: Mark) -> list[str]:
        x, y, kind, parts = self.x(mark.x), self.y(mark.y), escape(mark.kind), list[str]()
        if mark.y_interval:
            low, high = map(self.y, mark.y_interval)
            parts.append(f'<line class="{kind}" x1="{x}" x2="{x}" y1="{low}" y2="{high}"/>')
        if mark.x_interval:
            low, high = map(self.x, mark.x_interval)
            parts.append(f'<line class="{kind}" x1="{low}" x2="{high}" y1="{y}" y2="{y}"/>')
        if mark.ringed:
            parts.append(f'<circle class="ring" cx="{x}" cy="{y}" r="9"/>')
        parts.append(f'<circle class="{kind}" cx="{x}" cy="{y}" r="4.5"/>')
        if mark.label:
            # A rising line leaves the left free, a falling one the right.
            wide = 12 + LETTER * len(mark.label)
            start = x + wide < WIDTH if mark.right else x - wide < 0
            at = f'x="{x + 10 if start else x - 10}" y="{y + (16 if mark.below else -8)}"'
            anchor = "" if start else ' text-anchor="end"'
            parts.append(f'<text class="label" {at}{anchor}>{escape(mark.label)}</text>')
        return parts
