"""Points of a front whose text exceeds the limits: shown, and counted in no hypervolume."""

import math
from dataclasses import replace

import pytest
import toy_experiment as toy
from written_units import write_units

from genarm.experiments.answer import Answer
from genarm.experiments.front_results import compared_fronts, points_beyond
from genarm.system.files import read_rows, write_rows


@pytest.fixture
def written(loaded):
    """Rows `both` and `soup` of three points each; `garble` makes the text of some points unlikely."""
    wide = toy.wide_experiment()
    wide["methods"] = {name: wide["methods"][name] for name in ("base", "both", "soup")}
    wide["models"] = {name: wide["models"][name] for name in ("arm", "arm-other", "dpo", "dpo-other")}
    wide["tuning"], wide["over"] = {"prompts": 3, "max_health_ratio": 1.5}, ["base"]
    wide["claims"], wide["reference_point"] = {"subject": "both", "front_over": ["soup"]}, -4.0
    experiment = loaded(wide, "beyond")
    write_units(experiment, {"both": 0.6, "soup": 0.6})

    def garble(row: str, *points: int) -> None:
        """Ten times the base's perplexity, exp 1.5."""
        for seed in experiment.seeds(row):
            path = experiment.place.answers(row, seed)
            answers = [
                replace(
                    a, response=replace(a.response, base_logprob=-(1.5 + math.log(10)) * a.response.tokens)
                )
                if a.point in points
                else a
                for a in read_rows(path, Answer)
            ]
            write_rows(path, answers)

    return experiment, garble


def test_a_point_of_unlikely_text_counts_in_no_volume(written):
    experiment, garble = written
    before = {f.row: f for f in compared_fronts(experiment)[0] if f.judge == "gold"}
    assert before["both"].counted == "3" and before["both"].of_all == before["both"].hypervolume
    garble("both", 2)
    found, (claim,) = compared_fronts(experiment)
    after = {f.row: f for f in found if f.judge == "gold"}
    assert after["both"].counted == "2 of 3" and after["soup"] == before["soup"]
    assert after["both"].of_all == before["both"].hypervolume
    assert after["both"].hypervolume.value < after["both"].of_all.value
    assert [bool(point.faults) for point in after["both"].points] == [False, False, True]
    assert "perplexity 44.8 > " in after["both"].points[2].faults[0]
    assert points_beyond(found).endswith("count in no front: both 1") and claim.other == "soup"


def test_a_row_of_nothing_but_such_points_encloses_nothing(written):
    experiment, garble = written
    garble("soup", 0, 1, 2)
    found, (claim,) = compared_fronts(experiment)
    soup = next(f for f in found if f.row == "soup")
    assert soup.hypervolume.value == 0 and math.isnan(soup.worst.value) and soup.of_all.value > 0
    assert soup.counted == "0 of 3" and not any(soup.attained.values())
    assert "hypervolume +" in claim.why
