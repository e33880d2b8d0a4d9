"""A limit on the KL of what is tuned: by hand-worked responses, and in the toy's own tuning."""

import copy

import pytest
import toy_experiment as toy

from genarm.experiments.drift import drift_faults
from genarm.experiments.stages import write_stages
from genarm.experiments.tuned import Chosen
from genarm.experiments.work import run_unit
from genarm.pipeline.project import Project
from genarm.system.files import read_json
from genarm.types import Response


def responses(*kl: float) -> list[Response]:
    return [Response(f"p{i}", "text", 4, "length", -2.0, value) for i, value in enumerate(kl)]


def test_the_mean_over_responses_is_what_is_limited():
    """KL 0.2 and 0.7: mean 0.45."""
    assert drift_faults(responses(0.2, 0.7), None, {}) == []
    assert drift_faults(responses(0.2, 0.7), 0.45 + 1e-9, {}) == []
    assert drift_faults(responses(0.2, 0.7), 0.4, {"mode": "stochastic"}) == ["KL 0.45 > 0.4 nats a token"]
    assert drift_faults(responses(0.2, 0.7), 0.4, {"mode": "greedy"}) == []


@pytest.mark.slow
def test_tuning_takes_no_setting_beyond_the_limit(loaded, toy_project):
    """Guided by 0 it is the base, which has no KL and keeps any limit; by 50 it wins more, and is refused.

    Greedy ARGS keeps the limit whatever its KL.
    """
    values = copy.deepcopy(toy.toy_experiment())
    values["tuning"] = {"prompts": 12, "max_health_ratio": 1000.0, "kl": 1e-6}
    values["models"]["rm"] = {"trainer": "reward", "dimension": "vowels", "train": {"layers": 1, "most": 16}}
    values["methods"] |= {
        "guided": {"method": "guided", "arms": {"vowels": "arm"}, "tune": {"weight": [0.0, 50.0]}},
        "args": {"method": "args", "reward": "rm", "k": 3, "tune": {"weight": [1.0, 2.0]}},
    }
    values["claims"] = None
    experiment = loaded(values, "drift")
    wanted = ("pairs-", "prompts", "train-arm-0", "train-rm-0", "validation-base", "tune-")
    for unit in write_stages(experiment):
        if unit.name.startswith(wanted):
            run_unit(Project(toy_project), "drift", unit.name)
    guided = read_json(experiment.place.tuned("guided"), Chosen)
    assert guided.settings == {"weight": 0.0} and guided.within_limits
    assert guided.curve[1].faults == [f"KL {guided.curve[1].kl:.3g} > 1.05e-06 nats a token"]
    args = read_json(experiment.place.tuned("args"), Chosen)
    assert args.within_limits and all(tried.kl > 1e-6 and not tried.faults for tried in args.curve)
