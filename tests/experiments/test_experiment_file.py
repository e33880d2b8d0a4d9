"""What is wrong with an experiment.yaml is one error that names the key and what is near it."""

import copy

import pytest
import toy_experiment as toy
from toy_pipeline import ROOT

from genarm.errors import ConfigError
from genarm.experiments.checks import refusal
from genarm.experiments.place import find
from genarm.experiments.read import load_experiment


def changed(*path, to):
    """The toy with one value changed; None takes it away."""
    values = copy.deepcopy(toy.toy_experiment())
    *above, last = path
    place = values
    for key in above:
        place = place[key]
    if to is None:
        del place[last]
    else:
        place[last] = to
    return values


def tuned(values):
    """A row whose weight is tuned."""
    return {"method": "sharpened", "tune": {"weight": values}}


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (changed("promts", to={"n": 3}), r"unknown key 'promts' \(did you mean 'prompts'\?\)"),
        (changed("methods", "guided", "method", to="guide"), r"unknown method 'guide' \(.*'guided'"),
        (changed("methods", "guided", "weigth", to=1.0), r"methods.guided: unknown key 'weigth'.*'weight'"),
        (changed("methods", "guided", "arms", to={"vowels": "amr"}), r"unknown model 'amr' \(.*'arm'"),
        (changed("models", "arm", "trainer", to="arms"), r"unknown trainer 'arms' \(did you mean 'arm'"),
        (changed("models", "arm", "dimension", to="vowel"), r"unknown dimension 'vowel' \(.*'vowels'"),
        (changed("models", "arm", "train", "bta", to=1.0), r"models.arm: unknown key 'train.bta'"),
        (changed("methods", "sharpened", to=tuned([1, 2, 3, 4, 5])), "sharpened: tune .* may try at most 4"),
        (changed("methods", "base", to=None), "has no row `base"),
        (changed("over", to=["bas"]), r"over: unknown row 'bas' \(did you mean 'base'"),
        (changed("claims", "equivalent", to={"to": "dpo"}), "equivalence needs the row that it is to"),
        (changed("claims", "front_over", to=["sharpened"]), "has no `front`"),
        (changed("seeds", to=[0, 0]), "a seed stands twice"),
        (changed("data", "digits", to="project"), "unknown dimension of the project 'digits'"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(loaded, values, told):
    with pytest.raises(ConfigError, match=told) as error:
        loaded(values)
    assert "experiments/toy/experiment.yaml" in str(error.value)
    assert error.value.hint


def test_trl_that_is_not_installed_is_one_line(loaded, monkeypatch):
    values = toy.toy_experiment()
    values["models"]["simpo"] = {"trainer": "simpo", "dimension": "vowels"}
    monkeypatch.setattr(refusal, "find_spec", lambda package: None)
    with pytest.raises(ConfigError, match="models.simpo: simpo needs trl, which is not installed") as error:
        loaded(values)
    assert error.value.hint == "pip install 'genarm[baselines]'"


def test_an_experiment_that_is_not_there(loaded, toy_project):
    loaded(toy.toy_experiment())
    with pytest.raises(ConfigError, match=r"no experiment 'ty' \(did you mean 'toy'\?\)"):
        find(toy_project, "ty")


@pytest.mark.parametrize("name", ["general", "weak-to-strong", "multi-objective"])
def test_the_experiments_that_come_with_genarm_are_sound(name):
    from genarm.experiments.units import units
    from genarm.pipeline.project import Project

    experiment = load_experiment(Project(ROOT), find(ROOT, name))
    made = [unit.name for unit in units(experiment)]
    assert made[-1] == "table"
    assert len(made) == len(set(made))
