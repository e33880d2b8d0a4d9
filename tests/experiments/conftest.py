"""A toy project with an experiment, made once; tests that change it take a copy of its experiment.yaml."""

import pytest
import toy_experiment as toy

from genarm.experiments.load import Experiment
from genarm.experiments.place import find
from genarm.experiments.read import load_experiment
from genarm.pipeline.project import Project


@pytest.fixture(scope="session")
def toy_project(tmp_path_factory):
    """A project with a base of six layers, under git and DVC."""
    folder = tmp_path_factory.mktemp("experiments")
    toy.make_project(folder / "project", folder / "base", layers=6)
    return folder / "project"


@pytest.fixture
def loaded(toy_project, request, monkeypatch):
    """A function of an experiment's values that writes and loads it."""
    monkeypatch.chdir(toy_project)

    def load(values, name: str = "toy") -> Experiment:
        toy.write_experiment(toy_project, values, name)
        return load_experiment(Project(toy_project), find(toy_project, name))

    return load
