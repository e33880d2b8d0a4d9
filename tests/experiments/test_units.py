"""Units depend on what concerns them alone, and all of them together make the table."""

import copy
import json
import shutil

import pytest
import toy_experiment as toy

from genarm.errors import PipelineError
from genarm.experiments.stages import write_stages
from genarm.experiments.units import units
from genarm.experiments.work import run_unit
from genarm.pipeline.project import Project


def specs(experiment):
    return {unit.name: (dict(unit.spec), unit.reads) for unit in units(experiment)}


def test_a_row_more_costs_no_other_row_anything(loaded):
    values = toy.toy_experiment()
    before = specs(loaded(values))
    more = copy.deepcopy(values)
    more["models"]["dpo"] = {"trainer": "dpo", "dimension": "vowels", "train": toy.TRAIN}
    more["methods"]["dpo"] = {"method": "adapter", "adapter": "dpo"}
    after = specs(loaded(more))
    changed = {name for name in after if name not in before or after[name] != before[name]}
    assert changed == {"train-dpo-0", "train-dpo-1", "answer-dpo-0", "answer-dpo-1", "judge-dpo", "table"}


def test_another_setting_concerns_its_row_alone(loaded):
    values = toy.toy_experiment()
    before = specs(loaded(values))
    values["methods"]["guided"]["weight"] = 10.0
    after = specs(loaded(values))
    assert {n for n in after if after[n] != before[n]} == {"answer-guided-0", "answer-guided-1", "table"}


def test_a_base_is_known_by_its_content_and_not_by_its_place(loaded, toy_project, tmp_path):
    values = toy.toy_experiment()
    base = loaded(values).base.path
    before = specs(loaded(values))
    moved = shutil.copytree(base, tmp_path / "elsewhere")
    values["base"] = {"model": str(moved), "dtype": "float32"}
    after = specs(loaded(values))
    assert {n for n in after if after[n] != before[n]} == {"table"}
    settings = json.loads((moved / "tokenizer_config.json").read_text())
    (moved / "tokenizer_config.json").write_text(json.dumps(settings | {"chat_template": "{{ messages }}"}))
    renewed = specs(loaded(values))
    assert {n for n in after if after[n] == renewed[n]} == {
        "prompts",
        "judge-base",
        "judge-guided",
        "judge-sharpened",
        "table",
    }


def test_a_default_of_a_training_that_is_not_written_is_in_its_unit(loaded):
    values = toy.toy_experiment()
    values["models"]["rm"] = {"trainer": "reward", "dimension": "vowels", "train": {"most": None}}
    values["methods"]["best"] = {"method": "best_of_n", "reward": "rm"}
    spec = specs(loaded(values))["train-rm-0"][0]
    assert spec["settings"] == {"dimension": "vowels", "prefixes": False, "train": {"most": None}}
    assert set(spec["packages"]) == {"trl"}


def test_a_unit_is_not_run_by_stages_of_an_earlier_file(loaded, toy_project):
    experiment = loaded(toy.toy_experiment())
    write_stages(experiment)
    loaded(toy.toy_experiment() | {"title": "Another"})
    with pytest.raises(PipelineError, match=r"experiment.yaml has changed since the stages"):
        run_unit(Project(toy_project), "toy", "prompts")


@pytest.mark.slow
def test_every_method_and_trainer_ends_in_the_table(loaded, toy_project):
    """All units in this process, one after the other: what they write is what DVC would find."""
    experiment = loaded(toy.wide_experiment(), "wide")
    for unit in write_stages(experiment):
        run_unit(Project(toy_project), "wide", unit.name)
        assert all(path.exists() for path in unit.writes), unit.name
    results = json.loads((experiment.place.results / "results.json").read_text())
    rows = {row["name"]: row for row in results["rows"]}
    assert list(rows) == list(toy.wide_experiment()["methods"])
    exact = [name for name in rows if name not in ("cards", "best")]  # data-dependent; read as text
    for name in exact:
        assert rows[name]["speed"]["passes"] == rows[name]["speed"]["predicted"], name
        assert rows[name]["predicted"] == rows[name]["speed"]["predicted"], name
    assert results["marked"] == ["other by gold"]
    assert {front["row"] for front in results["fronts"]} == {"both", "parm", "soup"}
    assert {claim["kind"] for claim in results["claims"]} == {"beats", "equivalent", "faster", "recovers"}
    page = (experiment.place.results / "index.html").read_text()
    assert page.count('<svg class="plane"') == 9  # strength, and of two judges all and each of three
