"""Rows of a toy that are searched for one KL: where they end, what the table says of it, and after a kill."""

import copy
import json

import pytest
import toy_experiment as toy
from written_units import write_units

from genarm.errors import ConfigError
from genarm.experiments import trial
from genarm.experiments.budget import budget_notes
from genarm.experiments.distance import distance_notes
from genarm.experiments.page import strength
from genarm.experiments.stages import write_stages
from genarm.experiments.tables import cells, columns, gathered
from genarm.experiments.tuned import Chosen
from genarm.experiments.work import run_unit
from genarm.pipeline.project import Project
from genarm.system.files import read_json, write_json

KL = 0.4
WIDE = {"weight": {"from": 0.1, "to": 10.0}}


def values(rows, **tuning):
    """The toy with these rows besides the base."""
    found = copy.deepcopy(toy.toy_experiment())
    found["tuning"] = {"prompts": 24, "tries": 6, "max_health_ratio": 1000.0, "kl": KL} | tuning
    found["methods"] = {"base": {"method": "base"}, **rows}
    return found | {"seeds": [0], "claims": None}


def guided(**changed):
    return {"method": "guided", "arms": {"vowels": "arm"}, "tune": WIDE} | changed


def with_args(**changed):
    found = values({"args": {"method": "args", "reward": "rm", "k": 3, "tune": WIDE} | changed})
    found["models"]["rm"] = {"trainer": "reward", "dimension": "vowels"}
    return found


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (values({"g": guided(tune={"weight": {"from": 4, "to": 4}})}), "from = 4 is not below to = 4"),
        (values({"g": guided(tune={"weight": {"from": 0, "to": 4}})}), "from = 0: input should be greater"),
        (values({"g": guided(tune={"weight": {"form": 1, "to": 4}})}), r"'form' \(did you mean 'from'"),
        (values({"g": guided(tune={"weight": 3})}), "neither a list of values nor a range"),
        (values({"g": guided(tune=WIDE | {"share": [0.5]})}), "one range, or lists"),
        (values({"g": guided(weight=1.0)}), "weight stands in the row itself and in tune"),
        (values({"g": guided(tune={"share": {"from": 0.1, "to": 1}})}), "the strength of guided is weight"),
        (values({"g": guided()}, kl=None), "tuning.kl does not say at which KL"),
        (values({"g": guided()}, kl=0), "tuning.kl = 0: input should be greater than 0"),
        (values({"g": guided()}, tolerance=1), "tuning.tolerance = 1"),
        (values({"g": guided()}, max_kl=0.4), r"'tuning.max_kl' \(did you mean 'kl'"),
        (values({"b": {"method": "best_of_n", "tune": {"n": {"from": 1, "to": 9}}}}), "has no strength to"),
        (with_args(), "mode: greedy, whose KL tells of one text"),
    ],
)
def test_a_range_that_makes_no_sense_is_refused_as_it_is_read(loaded, given, told):
    with pytest.raises(ConfigError, match=told) as error:
        loaded(given, "no-sense")
    assert "\n" not in str(error.value)


def test_a_range_is_tried_at_the_middle_of_a_front_with_the_budget_of_all(loaded):
    given = toy.wide_experiment()
    given["tuning"] |= {"kl": KL, "tries": 5}
    given["methods"]["both"]["tune"] = WIDE
    given["methods"]["args"] |= {"mode": "stochastic", "tune": WIDE}
    experiment = loaded(given, "front")
    tried = experiment.shown_settings("both", {"weight": 0.7})
    assert (tried["weight"], tried["share"]) == (0.7, 0.5)
    assert experiment.candidates("both") == [{"weight": 0.1}, {"weight": 10.0}]
    assert (experiment.tries("both"), experiment.tries("guided"), experiment.tries("dpo")) == (5, 2, 0)
    assert "cards was tuned less than guided: no settings tried, and 2 of guided" in budget_notes(experiment)


def test_table_notes_and_picture_say_who_stands_where(loaded):
    rows = {
        "guided": guided(tune={"weight": [1.0, 2.0]}),
        "sharpened": {"method": "sharpened", "tune": {"weight": [1.0, 2.0]}},
        "fixed": {"method": "sharpened", "weight": 1.0},
    }
    experiment = loaded(values(rows), "said")
    write_units(experiment, {"guided": 0.6})
    chosen = read_json(experiment.place.tuned("sharpened"), Chosen)
    missing = Chosen(chosen.settings, True, chosen.curve, missed="10, the end of its range, goes no further")
    write_json(experiment.place.tuned("sharpened"), missing)
    results = gathered(experiment)
    table = {row.name: dict(zip(columns(results), cells(results, row), strict=True)) for row in results.rows}
    told = {name: cell["KL in tuning"] for name, cell in table.items()}
    assert told["guided"] == "0.050 (2 tries)" and told["sharpened"] == "0.050 (2 tries), not 0.4"
    assert told["base"] == told["fixed"] == ""
    assert distance_notes(experiment, results.rows) == [
        "at another KL than 0.4 nats a token on validation prompts: sharpened (0.050): "
        "10, the end of its range, goes no further",
        "not tuned, and so at whatever KL they have: fixed",
    ]
    assert set(distance_notes(experiment, results.rows)) <= set(results.notes)
    assert strength(results).count('<circle class="ring"') == 2


@pytest.mark.slow
def test_rows_of_a_toy_end_at_one_kl_and_a_killed_search_goes_on(loaded, toy_project, monkeypatch):
    rows = {
        "guided": guided(),
        "contrast": guided(guidance="contrast", tune={"weight": {"from": 1.0, "to": 64.0}}),
        "sharpened": {"method": "sharpened", "tune": WIDE},
        "adapter": {"method": "adapter", "adapter": "arm", "tune": {"scale": {"from": 1.0, "to": 100.0}}},
    }
    experiment = loaded(values(rows), "distance")
    units = [unit.name for unit in write_stages(experiment)]

    def run(*beginnings):
        for name in units:
            if name.startswith(beginnings):
                run_unit(Project(toy_project), "distance", name)

    run("pairs-", "prompts", "train-", "validation-")
    real, asked = trial.responses, []

    def killed(*given):
        if len(asked) == 2:
            raise KeyboardInterrupt
        asked.append(given[-1])
        return real(*given)

    monkeypatch.setattr(trial, "responses", killed)
    with pytest.raises(KeyboardInterrupt):
        run("tune-guided")
    assert experiment.place.kept_trials("guided").is_dir()
    monkeypatch.setattr(trial, "responses", lambda *given: asked.append(given[-1]) or real(*given))
    run("tune-guided")
    monkeypatch.setattr(trial, "responses", real)
    found = read_json(experiment.place.tuned("guided"), Chosen)
    assert len(asked) == len(found.curve) > 2, "what was answered before the kill is not answered again"
    assert not experiment.place.kept_trials("guided").exists()

    run("tune-contrast", "tune-sharpened", "tune-adapter", "answer-", "judge-", "table")
    for row in ("guided", "contrast", "sharpened"):
        found = read_json(experiment.place.tuned(row), Chosen)
        assert found.missed is None and abs(found.taken.kl - KL) <= 0.05 * KL, [t.kl for t in found.curve]
        assert len(found.curve) <= 6 and found.within_limits
    adapter = read_json(experiment.place.tuned("adapter"), Chosen)  # its KL levels off at 0.014
    assert adapter.missed == "100, the end of its range, goes no further" and len(adapter.curve) == 2
    results = json.loads((experiment.place.results / "results.json").read_text())
    assert any(": adapter (0.01" in note for note in results["notes"])
    row = next(row for row in results["rows"] if row["name"] == "guided")
    assert row["kl"] > 0 and len(row["tuned"]["curve"]) == len(asked)
