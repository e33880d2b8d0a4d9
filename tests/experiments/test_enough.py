"""Too few prompts are said with what they mean for a claim; the numbers are computed."""

import copy
import shutil

import numpy as np
import pytest
import toy_experiment as toy

from genarm.experiments.claims import equivalent
from genarm.experiments.enough import shortfalls
from genarm.experiments.plan import PlannedUnit, plan, warnings
from genarm.experiments.sizes import power_of_equivalence


def test_the_chance_of_finding_equal_methods_equivalent_is_that_of_coins():
    """0.07 sqrt(240) / 0.5 - 1.645 = 0.524, so 2 x 0.700 - 1 = 0.40; and so do coins."""
    assert power_of_equivalence(240, 0.07) == pytest.approx(0.40, abs=0.005)
    assert power_of_equivalence(111, 0.07) == 0
    assert power_of_equivalence(437, 0.07) == pytest.approx(0.80, abs=0.005)
    coins = np.random.default_rng(0).integers(0, 2, (150, 1, 240)).astype(float)
    share = np.mean([equivalent("a", "b", c, 0.07, 0.05).verdict == "confirms" for c in coins])
    assert abs(share - 0.40) < 0.12


def test_what_is_lacking_is_said_by_the_plan(loaded):
    values = copy.deepcopy(toy.toy_experiment()) | {"prompts": {"n": 300}}
    values["claims"]["equivalent"] = {"to": "sharpened", "margin": 0.1}
    experiment = loaded(values, "enough")
    told = warnings(experiment, plan(experiment))
    assert told[0].startswith("prompts.n asks for 300 prompts, and ")
    assert "equivalence within 0.1 needs 215 prompts" in told[-1]
    assert shortfalls(experiment, 300, 48) == []


def test_a_judge_that_made_the_labels_is_warned_of_before_any_pair_is_made(loaded, toy_project):
    """By what relabels the pairs, and by `labels.yaml` beside the data."""
    folder = toy_project / "labelled"
    folder.mkdir(exist_ok=True)
    shutil.copyfile(toy_project / "data" / "vowels.jsonl", folder / "vowels.jsonl")
    (folder / "labels.yaml").write_text("vowels.jsonl: toy_scorers:vowels, a toy\n")
    values = toy.wide_experiment()
    values["data"]["vowels"] = {"files": "vowels.jsonl", "folder": "labelled"}
    experiment = loaded(values, "labels")
    waiting = [PlannedUnit(name, True, "") for name in ("pairs-vowels", "pairs-other", "prompts")]
    told = [line.split(" made the labels")[0] for line in warnings(experiment, waiting) if "labels" in line]
    assert told == ["vowels by gold", "other by gold"]
