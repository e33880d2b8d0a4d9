"""A judge that changes makes what it said anew, and verdicts tell who judged."""

import pytest
import toy_experiment as toy
from toy_rewards import llama, save

from genarm.config import JudgeConfig
from genarm.experiments import judge as judging
from genarm.experiments.judge_content import judge_content, shown_identity
from genarm.experiments.stages import write_stages
from genarm.experiments.units import units
from genarm.experiments.work import run_unit
from genarm.judges import load_with_origin
from genarm.pipeline.project import Project
from genarm.system.files import read_rows


def specs(experiment):
    return {unit.name: unit.spec for unit in units(experiment)}


@pytest.fixture
def scorers(toy_project):
    """The file of the scorers, which is put back."""
    file = toy_project / "toy_scorers.py"
    before = file.read_text()
    yield file
    file.write_text(before)


def test_a_scorer_that_changes_concerns_whatever_asks_it(loaded, scorers):
    values = toy.wide_experiment()
    chosen = {"method": "best_of_n", "n": 2, "judge": {"scorer": "toy_scorers:digits"}}
    values["methods"]["judged"] = chosen
    before = specs(loaded(values))
    scorers.write_text(scorers.read_text() + "\n# another version\n")
    after = specs(loaded(values))
    asking = {"pairs-other", "tune-guided", "answer-judged-0", "speed-judged"}
    assert {n for n in after if after[n] != before[n]} == asking | {f"judge-{r}" for r in values["methods"]}


def test_a_table_is_made_without_the_judges_that_its_verdicts_name(loaded, scorers, monkeypatch):
    values = toy.toy_experiment()
    del values["models"], values["claims"], values["methods"]["guided"]
    experiment = loaded(values, "named")
    project = Project(experiment.place.root)
    *first, last = write_stages(experiment)
    for unit in first:
        run_unit(project, "named", unit.name)
    verdicts = read_rows(experiment.place.verdicts("base"), judging.Judged)
    gold = load_with_origin(experiment.config.judges["vowels"].gold, experiment.place.root).identity
    assert {v.identity for v in verdicts if v.judge == "gold"} == {gold}
    scorers.unlink()
    run_unit(project, "named", last.name)
    table = (experiment.place.results / "table.md").read_text()
    assert f"vowels by gold: {gold};" in table
    assert str(experiment.base.path.parent) not in table
    assert "base, weights sha256" in table


def test_a_reward_model_is_known_by_its_weights_and_not_by_its_place(tmp_path):
    one, other = (save(tmp_path / name / "rm", llama()) for name in ("here", "there"))
    configs = [JudgeConfig(reward_model={"model": str(folder)}) for folder in (one, other)]
    first, second = (judge_content(config, tmp_path / "project") for config in configs)
    assert first == second
    file = other / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-4] + b"\x00\x00\x80\x3f")
    assert judge_content(configs[1], tmp_path / "project") != first
    assert shown_identity(f"{one}, weights sha256 0", configs[0]) == "rm, weights sha256 0"
