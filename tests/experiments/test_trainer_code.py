"""What a training depends on: a trainer's `code` names all that it runs, and its spec its settings."""

import pytest
from code_closure import import_graph, listed, run_by

from genarm.experiments.train import train
from genarm.experiments.trainers import TRAINERS

MADE = [name for name, kind in TRAINERS.items() if kind.made]
# Of these one function is used: settings as they were written, a hash, a folder, the spec that says the rest.
IN_THE_SPEC = {
    "genarm.config",
    *(f"genarm.config.{name}" for name in ("demanded", "explain", "judge", "load", "old_form", "params")),
    *(f"genarm.experiments.{name}" for name in ("load", "units", "trainers")),
}


@pytest.fixture(scope="module")
def graph():
    return import_graph()


def followed(module):
    return module not in {*IN_THE_SPEC, "genarm.data.pairs"}


@pytest.mark.parametrize("name", MADE)
def test_a_change_of_what_a_trainer_runs_makes_its_model_anew(name, graph):
    kind = TRAINERS[name]
    runs = run_by(graph, kind.train, followed) | run_by(graph, train, followed)
    assert runs - IN_THE_SPEC <= listed(kind.code)
    own = {m for m in listed(kind.code) if m.startswith("genarm.baselines")}
    assert own <= runs | {"genarm.baselines.parm"}  # and nobody else's code
