"""Nights on real MLflow: what is recorded, told and rolled back; once with models that answer."""

import dataclasses
import json

import pytest
from house_toys import DIMENSION, PARAMS, arm, connect, decide, new_data, new_project, register
from toy_arms import make_arm

from genarm.cli import main as cli
from genarm.errors import ConfigError
from genarm.models import resolve
from genarm.models.arm import read_card, write_card
from genarm.pipeline.preflight import examined
from genarm.pipeline.preflight.watching import watching as watching_check
from genarm.pipeline.project import Project
from genarm.registry.nights import nights
from genarm.system.files import write_json, write_rows
from genarm.types import Comparison, Estimate, Message, Prompt
from genarm.watch.nightly import watch
from genarm.watch.status import status

PROMPTS = [Prompt((Message("user", f"say {i}"),)) for i in range(200)]


def compared(wins: int, losses: int) -> Comparison:
    n = wins + losses
    rate = Estimate(wins / n, (0.0, 1.0), n)
    return Comparison(DIMENSION, "champion", "base", rate, wins, 0, losses, 0, 1.0)


def with_watch(project: Project, **config) -> Project:
    write_json(project.layout.params, PARAMS | {"watch": {"prompts": 20, "nights": 3} | config})
    return Project(project.root)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Versions 1 and 2 were promoted, and there are prompts."""
    for name in ("MLFLOW_TRACKING_URI", "PREFECT_API_URL"):
        monkeypatch.delenv(name, raising=False)
    root = tmp_path / "here"
    root.mkdir()
    monkeypatch.setenv("PREFECT_HOME", str(root / ".prefect"))
    project = new_project(root)
    new_data(project, "hello")
    store = connect(project)
    for number in (1, 2):
        folder = arm(project, f"arm-{number}")
        register(store, folder)
        decide(store, folder)
    store.snapshot(project.layout.champions, [DIMENSION])
    write_rows(project.layout.prompts, PROMPTS)
    return with_watch(project)


def night(project, day: int, wins: int, **given):
    """One night on which the champion wins so many of twenty; what it was asked is returned, too."""
    asked: list[set[str]] = []

    def measured(project, dimension, champion, prompts, number):
        asked.append({p.id for p in prompts})
        return compared(wins, 20 - wins)

    done = watch(project, day=f"2026-11-{day:02}", measured=measured, **given)
    return done, asked


def test_nights_are_recorded_taken_together_told_and_refused(project):
    (first,), one = night(project, 1, 12)
    assert (first.night.version, first.night.number, first.night.nights) == (2, 0, 1)
    (again,), none = night(project, 1, 0)  # the same day: asked once
    assert (
        none == []
        and not again.measured_now
        and again.night.run == nights(connect(project), DIMENSION)[0].run
    )
    (second,), two = night(project, 2, 4)
    assert second.night.pooled.value == 16 / 40 and second.night.nights == 2 and not second.night.worse
    (third,), three = night(project, 3, 2)
    assert not one[0] & two[0] and not two[0] & three[0] and not one[0] & three[0]
    # 18 of 60; the upper bound at 0.001 is 0.4995
    assert third.night.pooled.value == 0.3 and third.night.worse and not third.rolled_back
    (fourth,), _ = night(project, 4, 12)  # the first night is no longer among the three
    assert fourth.night.pooled.value == 18 / 60 and fourth.night.worse
    (fifth,), _ = night(project, 5, 20)
    assert fifth.night.pooled.value == 34 / 60 and not fifth.night.worse
    (one_in_use,) = status(project.root).champions
    assert one_in_use.night == dataclasses.replace(
        fifth.night, at=one_in_use.night.at, run=one_in_use.night.run
    )
    assert [n.number for n in nights(connect(project), DIMENSION)] == [4, 3, 2, 1, 0]

    with pytest.raises(
        ConfigError, match="watch.prompts x watch.nights = 210, and the evaluation split has 200"
    ):
        night(with_watch(project, prompts=70), 1, 0)
    write_json(project.layout.params, PARAMS)
    with pytest.raises(ConfigError, match="watch.prompts is null"):
        watch(Project(project.root))
    write_json(project.layout.params, PARAMS | {"watch": {"rollback": True}})
    with pytest.raises(ConfigError, match="needs watch.prompts"):
        _ = Project(project.root).params


def test_a_champion_that_loses_is_rolled_back_to_the_one_before_and_that_one_to_the_base(project):
    project = with_watch(project, rollback=True)
    (told,), _ = night(project, 1, 0, carry_out=False)
    assert told.night.worse and not told.rolled_back
    waits = [w.what for w in status(project.root).waiting]
    assert any("version 2 is shown to win too seldom" in what for what in waits)
    (acted,), none = night(project, 1, 0)  # later that day it is still to be done
    assert none == [] and acted.rolled_back == f"{DIMENSION}: version 1 is the champion again"
    champions = json.loads(project.layout.champions.read_text())
    assert champions[DIMENSION]["version"] == 1
    (next_day,), _ = night(project, 2, 20)  # another champion: its own nights alone
    assert (next_day.night.version, next_day.night.nights) == (1, 1)
    (last,), _ = night(project, 5, 0)
    assert last.night.pooled.value == 0.5 and not last.night.worse
    night(project, 6, 0)
    (gone,), _ = night(project, 7, 0)
    assert gone.rolled_back == f"{DIMENSION}: back to the base model"
    assert night(project, 8, 0) == ([], [])
    (one,) = status(project.root).champions
    assert one.version == 0 and "a rollback from version 1: shown to win under 0.5" in one.how
    assert "watch" in one.by


def test_a_run_is_refused_at_once_where_its_nights_have_too_few_prompts(tmp_path):
    watching = {"prompts": 2, "nights": 2, "file": "asked.jsonl"}
    write_json(tmp_path / "params.yaml", PARAMS | {"watch": watching})
    (missing,) = examined(watching_check, Project(tmp_path))
    assert missing.status == "fail" and "there is no file asked.jsonl" in missing.detail
    write_rows(tmp_path / "asked.jsonl", [{"prompt": f"say {i}"} for i in (1, 2, 3, 3)])
    (few,) = examined(watching_check, Project(tmp_path))
    assert few.status == "fail" and few.detail.endswith("= 4, and asked.jsonl has 3 prompts")
    write_rows(tmp_path / "asked.jsonl", [{"prompt": f"say {i}"} for i in range(4)])
    assert examined(watching_check, Project(tmp_path)) == []


# peft 0.21 asks transformers 5.23 by the old name
def test_models_answer_and_the_judge_of_the_dimension_compares(toy, tmp_path, monkeypatch, capsys):
    """The longer answer wins: a real base, a real ARM, by the command."""
    for name in ("MLFLOW_TRACKING_URI", "PREFECT_API_URL"):
        monkeypatch.delenv(name, raising=False)
    root = tmp_path / "here"
    root.mkdir()
    project = new_project(root)
    dimensions = {DIMENSION: {"data": "a.jsonl", "judge": "length", "weight": 4.0}}
    sampling = {"temperature": 1.0, "max_new_tokens": 12, "batch_size": 16}
    params = {
        "base": {"model": str(toy.folder), "dtype": "float32"},
        "dimensions": dimensions,
        "respond": {"guidance": "sum", "sampling": sampling},
        "watch": {"prompts": 16, "nights": 2},
    }
    write_json(root / "params.yaml", params)
    new_data(project, "hello")
    folder = make_arm(tmp_path / "arm", resolve(str(toy.folder)), toy.model, seed=1)
    write_card(folder, dataclasses.replace(read_card(folder), dimension=DIMENSION, weight=4.0))
    store = connect(project)
    register(store, folder)
    decide(store, folder)
    write_rows(project.layout.prompts, PROMPTS)
    monkeypatch.chdir(root)
    cli.app(["watch"], standalone_mode=False)
    line = capsys.readouterr().out
    assert line.startswith(f"{DIMENSION}: version 1 wins 0.") and "n=16 over 1 night" in line
    (noted,) = nights(connect(project), DIMENSION)
    assert noted.win_rate.n == 16 and 0 < noted.win_rate.value < 1
    cli.app(["watch", "--json"], standalone_mode=False)
    (told,) = json.loads(capsys.readouterr().out)
    assert told["night"]["run"] == noted.run and not told["measured_now"]
