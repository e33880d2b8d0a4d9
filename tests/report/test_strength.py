"""The strength curve in the report: every point stands where its numbers say, and the table has them all."""

import json
import re
from dataclasses import replace

from reported import Outline, made

from genarm.report.build import build_report
from genarm.report.plane import Level, Mark, Plane, plane
from genarm.report.summary import limits
from genarm.types import Estimate, StrengthPoint, Tuned

ORIGIN = StrengthPoint("base", 0.0, 1.0, Estimate(0.5, (0.5, 0.5), 32), None, 0.0, 10.3, 0.0004, 62.0)


def guided(weight: float, rate: float, kl: float, faults: tuple[str, ...] = ()) -> StrengthPoint:
    """A weight whose interval reaches 0.1 to either side; the held-out judge sees 0.1 less."""
    rates = [Estimate(r, (r - 0.1, r + 0.1), 32) for r in (rate, rate - 0.1)]
    return StrengthPoint(
        "guided", weight, 1.0, rates[0], rates[1], kl, 10.4, 0.0026, 60.0, faults, finished=0.47
    )


CONTROL = StrengthPoint(
    "sharpened", 0.5, 0.67, Estimate(0.56, (0.47, 0.66), 32), None, None, 4.0, 0.0052, 58.0
)
TUNED = Tuned(
    0.5,
    "contrast",
    "validation",
    "win rate 0.80 [0.70, 0.90] n=32 over base, the best lower bound among the 2 of 3 weights within",
    prompts=32,
    curve=[
        replace(ORIGIN, held_out=ORIGIN.win_rate),
        guided(0.25, 0.7, 0.24),
        guided(0.5, 0.8, 0.8),
        guided(1.0, 0.85, 1.6, ("KL 1.6 > 1, the most allowed",)),
        CONTROL,
    ],
    judge="positive, vaderSentiment 3.3.2",
    held_out_judge="polarity, textblob 0.20.1",
)

SUM = replace(TUNED, guidance="sum")


def test_points_bands_and_lines_stand_where_the_numbers_say():
    """KL 0 to 2 spans x 46 to 584, win rates 0.4 to 1 span y 288 to 20."""
    marks = [Mark(0.0, 0.4, "judge"), Mark(1.0, 0.7, "judge", (0.6, 1.0), label="0.5", ringed=True)]
    drawn = plane(Plane("KL", "rate"), [*marks, Mark(2.0, 1.0, "judge"), Mark(float("nan"), 0.5, "judge")])
    assert '<line class="judge" x1="315.0" x2="315.0" y1="198.7" y2="20.0"/>' in drawn
    assert '<circle class="ring" cx="315.0" cy="154.0" r="9"/>' in drawn and ">0.5</text>" in drawn
    assert drawn.count('<circle class="judge"') == 3, "a point that is no number is left out"
    level = [Level(0.7, (0.6, 1.0), "base at 0.67")]
    drawn = plane(Plane("KL", "rate"), marks[:1], levels=level)
    assert re.search(r'class="band" x="46" y="20.0" width="538" height="178.7"', drawn)
    assert plane(Plane("KL", "rate"), []) == ""


def test_the_report_shows_the_curve_with_the_weight_taken_the_control_and_the_limits(tmp_path):
    given = replace(
        made(), tuned={"positive": TUNED, "plain": Tuned(0.1, "sum", "params.yaml", "said there")}
    )
    page = build_report(given, tmp_path).read_text()
    outline = Outline(page)
    assert len([t for t, a in outline.tags if a.get("class") == "plane"]) == 1, (
        "a weight that is set has no curve"
    )
    assert page.count('class="ring"') == 2, "one in the legend"
    for words in ("weight 0.5 ✓", "base at temperature 0.67", "0.56 [0.47, 0.66]", "0.70 [0.60, 0.80]"):
        assert words in outline.text
    assert outline.text.count("47%") == 3, "how many answers ended, at every weight"
    assert "KL 1.6 > 1, the most allowed" in outline.text and "by the held-out judge" in outline.text
    assert "| weight 0.5 (taken) | 0.80 [0.70, 0.90] n=32 |" in (tmp_path / "report.md").read_text()
    facts = json.loads((tmp_path / "report.json").read_text())
    assert [p["weight"] for p in facts["tuned"]["positive"]["curve"]] == [0.0, 0.25, 0.5, 1.0, 0.5]


def test_what_sharpening_wins_is_taken_off_the_sum_alone():
    by_contrast, by_sum = (limits(replace(made(), tuned={"positive": t}))[0] for t in (TUNED, SUM))
    wins = "the base at temperature 0.67, wins 0.56 [0.47, 0.66] n=32 over the base on positive"
    assert by_sum.startswith(f"Sharpening alone, {wins}") and "beyond that was learned" in by_sum
    assert wins in by_contrast and by_contrast.endswith("contrast does not sharpen.")


def test_without_a_weight_within_the_limits_the_curve_is_shown_and_none_is_marked(tmp_path):
    given = replace(
        made(), tuned={"positive": replace(TUNED, within_limits=False, why="no weight of 3 keeps")}
    )
    page = build_report(given, tmp_path).read_text()
    assert page.count('class="ring"') == 1 and "no weight within the limits" in page and " ✓</th>" not in page
