"""Mixtures of several ARMs as one self-contained page: a picture for each pair of dimensions, and a table."""

import itertools
from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup

from genarm.evaluation.front import Mixture, non_dominated
from genarm.report.build import environment
from genarm.report.plane import Mark, Plane, plane
from genarm.system.files import write_text


def write_page(file: Path, mixtures: Sequence[Mixture], dimensions: Sequence[str]) -> None:
    """Write the page. The same mixtures give the same bytes."""
    pictures = [front_picture(mixtures, *pair) for pair in itertools.combinations(dimensions, 2)]
    view = {"mixtures": mixtures, "dimensions": dimensions, "pictures": pictures}
    write_text(file, environment().get_template("front.html").render(view))


def front_picture(mixtures: Sequence[Mixture], across: str, up: str) -> Markup:
    """Win rates over the base on two dimensions; those that no other one beats on both are joined.

    Filled marks are on the front of all dimensions. The base stands at one half on both.
    """
    rates = [(m.win_rates[across].value, m.win_rates[up].value) for m in mixtures]
    joined = sorted(point for point, on in zip(rates, non_dominated(rates), strict=True) if on)
    marks = []
    for mixture, (x, y) in zip(mixtures, rates, strict=True):
        if not mixture.weights:
            marks.append(Mark(x, y, "origin", label=mixture.name, below=True))
            continue
        kind = "mixture" if mixture.on_front else "mixture beaten"
        at = mixture.win_rates[up].interval, mixture.win_rates[across].interval
        marks.append(Mark(x, y, kind, *at, label=mixture.name, right=True))
    axes = Plane(f"win rate on {across}", f"win rate on {up}", (0.5,), (0.5,), x_half=True)
    return plane(axes, marks, [("judge", joined)])
