"""What units depend on besides trainings: their code names all that they run."""

import pytest
from code_closure import import_graph, listed, run_by

from genarm.experiments import answer, judge, output, pairs, speed, tune, unit_code
from genarm.experiments.methods import METHODS

# What of these a unit uses stands in its spec: settings with their defaults, and where files lie.
IN_THE_SPEC = {
    "genarm.config",
    *(
        f"genarm.config.{name}"
        for name in ("demanded", "explain", "judge", "judge_training", "load", "numbers", "old_form")
    ),
    *(f"genarm.config.{name}" for name in ("overlay", "params", "train")),
    *(f"genarm.experiments.{name}" for name in ("config", "row_config", "load", "place", "units")),
    *(f"genarm.experiments.{name}" for name in ("method_settings", "methods", "trainers")),
    "genarm.baselines.method",  # a contract, with no code of its own
}
NAMED = {  # what is tried when the stages are written, or only read as a record
    pairs.write_pairs: set(),
    pairs.write_prompts: set(),
    answer.answer_validation: set(),
    tune.tune: set(),
    judge.judge: {"genarm.experiments.answer", "genarm.experiments.tuned", "genarm.evaluation.respond"},
    output.write_results: {"genarm.judges", "genarm.models", "genarm.decoding", "genarm.types"},
}
CODE = {
    pairs.write_pairs: (*unit_code.PAIRS, *unit_code.JUDGES),
    pairs.write_prompts: unit_code.PROMPTS,
    answer.answer_validation: unit_code.ANSWERING,
    tune.tune: unit_code.TUNING,
    judge.judge: unit_code.JUDGING,
    output.write_results: unit_code.TABLE,
}


@pytest.fixture(scope="module")
def graph():
    return import_graph()


def followed(module):
    return module not in IN_THE_SPEC


@pytest.mark.parametrize("unit", CODE, ids=lambda unit: unit.__name__)
def test_a_change_of_what_a_unit_runs_runs_it_anew(unit, graph):
    read = tuple(NAMED[unit]) or ("nothing",)
    runs = run_by(graph, unit, lambda module: followed(module) and not module.startswith(read))
    assert {m for m in runs - IN_THE_SPEC if not m.startswith(read)} <= listed(CODE[unit])


@pytest.mark.parametrize("name", METHODS)
def test_a_change_of_what_a_method_runs_makes_its_answers_and_times_anew(name, graph):
    kind = METHODS[name]
    for unit, code in ((answer.answer, unit_code.ANSWERING), (speed.speed, unit_code.SPEED)):
        runs = run_by(graph, kind.make, followed) | run_by(graph, unit, followed)
        assert runs - IN_THE_SPEC <= listed((*code, *kind.code))
