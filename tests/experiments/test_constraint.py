"""The least weight that meets a threshold: chosen by bounds, measured anew, or refused."""

import copy
import json

import numpy as np
import pytest
import toy_experiment as toy
from scipy import stats

from genarm.errors import ConfigError, DataError
from genarm.evaluation.win_rate import wilson
from genarm.experiments.constraint_results import holds, paired_difference
from genarm.experiments.least import bound_of_rate, bound_of_scores, least
from genarm.experiments.row_config import ConstraintConfig
from genarm.experiments.stages import write_stages
from genarm.experiments.tuned import Tried
from genarm.experiments.work import run_unit
from genarm.pipeline.project import Project
from genarm.types import Estimate

GIVEN = ConstraintConfig(dimension="kind", at_least=0.5, weight=(0.4, 0.1, 0.2))


def tried(value: float, bound: float, *faults: str) -> Tried:
    rate = Estimate(bound + 0.1, (0.0, 1.0), 20)
    return Tried({"weight": value}, rate, value, 4.0, 0.0, faults, value, rate, bound)


def test_the_least_value_whose_bound_reaches_the_threshold_is_taken():
    assert GIVEN.values == (0.1, 0.2, 0.4), "whatever their order in the file"
    curve = [tried(0.1, 0.49), tried(0.2, 0.5), tried(0.4, 0.6)]
    assert least("row", curve, GIVEN).value == 0.2
    curve[1] = tried(0.2, 0.5, "perplexity 9 > 5, 1.2 times the base's")
    assert least("row", curve, GIVEN).settings == {"weight": 0.4}


def test_where_nothing_meets_it_every_value_is_told():
    curve = [tried(0.1, 0.41), tried(0.4, 0.6, "perplexity 9 > 5")]
    with pytest.raises(
        DataError, match="row: no weight of kind is shown to have a win rate of at least 0.5"
    ) as e:
        least("row", curve, GIVEN)
    assert "0.1: 0.51 [0.00, 1.00] n=20, lower bound 0.41" in str(e.value)
    assert "lower bound 0.6 (perplexity 9 > 5)" in str(e.value)
    assert "methods.row.constrain.weight" in e.value.hint


def test_of_several_values_hardly_ever_one_is_taken_that_does_not_meet_it():
    """Four values whose true rate is just the threshold, 36 prompts: exact, as if they were independent."""
    one = 1 - 0.05 / 4
    wins = np.arange(37)
    for rate in (0.5, 0.6, 0.8):
        above = [bound_of_rate(Estimate(w / 36, (0, 1), 36), one) > rate for w in wins]
        wrong = stats.binom.pmf(wins, 36, rate)[above].sum()
        assert 1 - (1 - wrong) ** 4 < 0.06
        alone = [wilson(w / 36, 36, 1.645)[0] > rate for w in wins]
        assert 1 - (1 - stats.binom.pmf(wins, 36, rate)[alone].sum()) ** 4 > 0.15, "without the correction"


def test_a_bound_of_scores_with_a_long_tail_below():
    """Minus a log-normal, such as minus words: Student's t would be above the mean in 8% instead of 5."""
    random, mean, above = np.random.default_rng(3), -np.exp(0.125), 0
    for _ in range(400):
        above += bound_of_scores(-random.lognormal(0, 0.5, 36), 0.95) > mean
    assert 0.025 <= above / 400 <= 0.08
    assert bound_of_scores([-3.0, -3.0, -3.0], 0.95) == -3.0
    assert bound_of_scores([-3.0], 0.95) == -np.inf


def test_what_holds_on_evaluation_prompts_and_what_it_costs():
    """The base has deviation 2, so a score lower by 1 costs half a deviation; paired, without any width."""
    assert holds(Estimate(0.6, (0.5, 0.7), 9), 0.5) == "confirms"
    assert holds(Estimate(0.4, (0.3, 0.49), 9), 0.5) == "refutes"
    assert holds(Estimate(0.5, (0.4, 0.6), 9), 0.5) == "inconclusive"
    base = np.array([[0.0, 4.0, 0.0, 4.0]])
    found = paired_difference(base - 1, base, base)
    assert found.value == pytest.approx(-0.5) and found.interval == pytest.approx((-0.5, -0.5))
    assert np.isnan(paired_difference(base - 1, np.full_like(base, np.nan), base).value)


def constrained(**changes: object) -> dict:
    """The toy with a second dimension, `q`, and a row that takes the least weight of its only ARM."""
    values = copy.deepcopy(toy.toy_experiment())
    values["judges"]["q"] = {"gold": "toy_scorers:q"}
    values["tuning"] = {"prompts": 12, "max_health_ratio": 1000.0}
    values["models"]["arm"]["seeds"] = "first"
    limit = {"dimension": "vowels", "at_least": 0.5, "weight": [20.0, 0.0, 5.0]} | changes
    values["methods"]["guided"] = {"method": "guided", "arms": {"vowels": "arm"}, "constrain": limit}
    return values


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"dimension": "q"}, "'q' is not among its arms: vowels"),
        ({"dimension": "other"}, "nobody judges 'other'"),
        ({"share": [0.5]}, "either weights or shares"),
        ({"weight": [1, 2, 3, 4, 5]}, "constrain tries 5 values"),
        ({"weight": []}, "constrain tries 0 values"),
        ({"weight": [1.0, 1.0]}, "a value stands twice"),
        ({"weight": [-1.0]}, "greater than or equal to 0"),
        ({"at_least": 1.5}, "a win rate lies between 0 and 1"),
        ({"against": "nobody"}, "against is the row 'nobody', which is not among"),
        ({"against": "guided"}, "which has constrain itself"),
        ({"weight": None, "share": [0.5]}, "share divides two ARMs"),
        ({"mesure": "score"}, "unknown key .*mesure.*did you mean .*measure"),
    ],
)
def test_a_constraint_that_makes_no_sense_is_refused_before_anything_runs(loaded, changes, told):
    with pytest.raises(ConfigError, match=told) as error:
        loaded(constrained(**changes))
    assert "experiments/toy/experiment.yaml" in str(error.value)


def test_what_a_row_may_not_have_beside_it(loaded):
    for key, value, told in (
        ("tune", {"weight": [1.0]}, "has neither tune nor front"),
        ("weight", {"vowels": 1.0}, "weight.vowels is 1.0 in the row, and constrain tries"),
        ("share", 0.5, "a row with share divides one weight"),
        ("method", "sharpened", "sharpened has no part of a dimension to vary; known: guided, parm, soup"),
    ):
        values = constrained()
        values["methods"]["guided"][key] = value
        with pytest.raises(ConfigError, match=told):
            loaded(values)
    with pytest.raises(ConfigError, match="over: guided has constrain, and answers nothing"):
        loaded(constrained() | {"over": ["base", "guided"]})


def test_the_settings_that_are_tried(loaded):
    """Of two ARMs one is varied; a share is that of the dimension, wherever it stands."""
    values = constrained()
    values["judges"]["other"] = {"gold": "toy_scorers:q"}
    arm = values["models"]["arm"]
    values["models"] |= {"a": arm, "b": arm | {"dimension": "other"}}
    values["models"]["parm"] = {"trainer": "parm", "dimensions": ["vowels", "other"]}
    values["data"]["other"] = "vowels.jsonl"
    limit = {"dimension": "other", "at_least": 0.5}
    shares, weights = limit | {"share": [0.75, 0.25]}, limit | {"weight": [2.0, 1.0]}
    two = {"vowels": "a", "other": "b"}
    values["methods"] |= {
        "guided": {"method": "guided", "arms": two, "weight": 0.5, "constrain": weights},
        "named": {"method": "guided", "arms": two, "weight": {"vowels": 3.0}, "constrain": weights},
        "shared": {"method": "guided", "arms": two, "constrain": shares},
        "parm": {"method": "parm", "parm": "parm", "dimensions": ["vowels", "other"], "constrain": shares},
        "soup": {"method": "soup", "adapters": {"other": "b", "vowels": "a"}, "constrain": shares},
    }
    experiment = loaded(values)
    assert experiment.candidates("guided") == [{"weight": {"vowels": 0.5, "other": w}} for w in (1.0, 2.0)]
    assert experiment.candidates("named") == [{"weight": {"vowels": 3.0, "other": w}} for w in (1.0, 2.0)]
    assert experiment.candidates("shared") == [{"share": 0.75}, {"share": 0.25}]
    assert experiment.candidates("parm") == [{"share": 0.75}, {"share": 0.25}]
    assert experiment.candidates("soup") == [{"share": 0.25}, {"share": 0.75}]


@pytest.mark.slow
def test_a_row_meets_its_constraint_and_one_that_does_not_costs_the_others_nothing(loaded, toy_project):
    values = constrained()
    values["speed"] = {"tokens": 4, "batches": [1]}
    never = copy.deepcopy(values["methods"]["guided"])
    never["constrain"] |= {"at_least": 0.999}
    short = copy.deepcopy(never)
    short["constrain"] |= {"at_least": 0.0, "measure": "score"}
    values["methods"] |= {"never": never, "short": short}
    values["claims"] = {"subject": "guided", "beats": ["sharpened", "never"], "faster": {"never": 1.0}}
    experiment = loaded(values, "limits")
    for unit in write_stages(experiment):
        run_unit(Project(toy_project), "limits", unit.name)
        assert all(path.exists() for path in unit.writes), unit.name
    folder = experiment.place.results
    results = json.loads((folder / "results.json").read_text())
    met, not_met, by_score = results["constraints"]
    assert met["value"] == 5.0 and met["bound"] >= 0.5 and met["verdict"] == "confirms", met
    assert list(met["costs"]) == ["q by gold"]
    assert by_score["value"] == 0.0 and "score" in by_score["why"]
    assert not_met["verdict"] == "not met" and not_met["value"] is None
    assert "no weight of vowels is shown to have a win rate of at least 0.999" in not_met["why"]
    rows = {row["name"]: row for row in results["rows"]}
    assert rows["guided"]["settings"]["weight"] == {"vowels": 5.0}
    assert rows["never"]["prompts"] == 0 and rows["never"]["verdicts"][-1] == "keeps: not met"
    claims = {(c["kind"], c["other"]): c for c in results["claims"]}
    assert claims["beats", "sharpened"]["verdict"] == "confirms"
    assert claims["beats", "never"]["why"].startswith("never answered nothing")
    assert "not met" in (folder / "index.html").read_text()
    assert "| guided keeps vowels >= 0.5 | confirms |" in (folder / "table.md").read_text()

    del values["methods"]["never"]
    values["claims"] = {"subject": "guided", "beats": ["sharpened"]}
    alone = loaded(values, "limits")
    write_stages(alone)
    run_unit(Project(toy_project), "limits", "table")
    without = json.loads((folder / "results.json").read_text())
    assert [row for row in without["rows"] if row["name"] != "never"] == [
        row for name, row in rows.items() if name != "never"
    ]
