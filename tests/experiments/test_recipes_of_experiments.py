"""The experiments of configs/experiments and those that come with genarm: they load, with fair budgets."""

import json
import shutil

import pytest
from toy_pipeline import ROOT

from genarm.experiments.budget import budget_notes
from genarm.experiments.place import find
from genarm.experiments.read import load_experiment
from genarm.pipeline.project import Project

RECIPES = sorted((ROOT / "configs" / "experiments").glob("*.yaml"))


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_loads_and_tunes_every_rival_as_much_as_the_subject(recipe, tmp_path):
    shutil.copy(ROOT / "params.yaml", tmp_path)
    place = tmp_path / "experiments" / recipe.stem
    place.mkdir(parents=True)
    shutil.copy(recipe, place / "experiment.yaml")
    experiment = load_experiment(Project(tmp_path), find(tmp_path, recipe.stem))
    assert budget_notes(experiment) == []
    assert all(len(experiment.candidates(row)) in (0, 4) for row in experiment.config.methods)


@pytest.mark.parametrize("name", ["general", "weak-to-strong", "multi-objective"])
def test_no_rival_of_a_claim_that_comes_with_genarm_tries_fewer_settings(name):
    notes = budget_notes(load_experiment(Project(ROOT), find(ROOT, name)))
    few = ["transfer-q was tuned on 4 prompts at most, and guided on 24"]
    assert notes == (few if name == "general" else [])


def test_the_prompts_of_the_experiments_stand_there_once():
    lines = (ROOT / "experiments" / "prompts.jsonl").read_text().splitlines()
    assert len({json.loads(line)["prompt"] for line in lines}) == len(lines) == 437
