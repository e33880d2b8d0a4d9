"""The report's pictures: marks, curves and outlines stand where the numbers say."""

import re
from dataclasses import replace

import pytest

from genarm.report.svg import curves, histogram, interval_strip, ticks
from genarm.types import Comparison, Estimate


def test_marks_stand_where_the_numbers_say():
    estimate = Estimate(0.74, (0.65, 0.81), 112)
    row = Comparison(
        "plain", "challenger", "base", estimate, 80, 6, 26, 0, 1e-6, Estimate(0.7, (0.6, 0.8), 112)
    )
    strip = interval_strip(row)
    assert '<line class="raw" x1="65.00%" x2="81.00%"' in strip and 'cx="74.00%"' in strip
    assert 'class="controlled" cx="70.00%"' in strip
    assert "controlled" not in interval_strip(replace(row, length_controlled=None))


def test_a_curve_spans_its_axes():
    """Steps 0 to 40 and values 0 to 1 fill the frame: x from 40 to 320, y from 164 up to 12."""
    drawn = curves("loss", {"train": [(0, 0.0), (20, 0.5), (40, 1.0)]})
    assert re.search(r'points="40\.0,164\.0 180\.0,88\.0 320\.0,12\.0"', drawn)
    assert curves("loss", {}) == ""


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 100, [0, 50, 100]),
        (0, 51, [0, 20, 40, 60]),
        (0.42, 0.71, [0.4, 0.5, 0.6, 0.7, 0.8]),
        (-0.3, 1.2, [-0.5, 0, 0.5, 1, 1.5]),
        (3, 3, [2.5, 3, 3.5]),
        (1e-6, 9e-6, [0, 5e-6, 1e-5]),
    ],
)
def test_ticks_are_round_and_span_the_values(low, high, expected):
    found = ticks(low, high, 4)
    assert found[0] <= low and found[-1] >= high and len(found) <= 5
    assert found[: len(expected)] == pytest.approx(expected)


def test_an_outline_is_as_high_as_the_share_of_its_values():
    """Values 0 to 10 in 24 bins: three quarters of one side lie in the first, the other in the last."""
    drawn = histogram("scores", {"base": [0, 0, 0, 10], "kind challenger": [10, 10]})
    assert 'class="base" points="40,164.0 40.0,50.0 51.7,50.0 51.7,164.0' in drawn
    assert re.search(r'class="challenger" points="40,164\.0 .* 308\.3,12\.0 320\.0,12\.0 320,164\.0"', drawn)
    assert histogram("scores", {}) == ""
