"""Mixtures of several ARMs: which shares are tried, what no other one beats, and the page that shows it."""

import json

import pytest
import torch
from reported import Outline
from toy_arms import make_arm
from toy_params import dimension
from toy_rewards import change_tensors, llama, save

from genarm.errors import ConfigError, JudgeError
from genarm.evaluation.front import non_dominated, simplex
from genarm.models import resolve
from genarm.operations.front import front
from genarm.pipeline.project import Project
from genarm.system.env import local_tracking_uri
from genarm.system.files import write_json, write_rows
from genarm.types import Message, PreferencePair, Prompt, Tuned

torch.set_num_threads(1)


def test_shares_sum_to_one_and_hold_every_arm_alone():
    assert simplex(2, 4) == [(1.0, 0.0), (0.75, 0.25), (0.5, 0.5), (0.25, 0.75), (0.0, 1.0)]
    three = simplex(3, 4)
    assert len(three) == len(set(three)) == 15 and all(sum(row) == 1 for row in three)
    assert {(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)} < set(three)


def test_the_front_is_what_no_other_point_beats():
    """(0.5, 0.5) loses to (0.6, 0.5); (0.7, 0.4) and (0.4, 0.7) each win on one side; equals both stay."""
    points = [(0.5, 0.5), (0.6, 0.5), (0.7, 0.4), (0.4, 0.7), (0.4, 0.7), (0.3, 0.7)]
    assert non_dominated(points) == [False, True, True, True, True, False]


@pytest.fixture
def project(toy, tmp_path):
    params = {
        "base": {"model": str(toy.folder), "dtype": "float32"},
        "dimensions": {
            "longer": dimension(judge="length", weight="tuned"),
            "shorter": dimension(judge="brief", weight="tuned") | {"held_out": "plain"},
        },
        "respond": {"sampling": {"max_new_tokens": 8, "batch_size": 8, "top_p": 1.0}},
    }
    write_json(tmp_path / "params.yaml", params)
    made = Project(tmp_path)
    for seed, name in enumerate(params["dimensions"]):
        make_arm(made.layout.arm(name), resolve(str(toy.folder)), toy.model, seed=seed)
        write_json(made.layout.tuned(name), Tuned(1.0 + seed, "sum", "validation", "why"))
        for split, texts in (("evaluation", "ab"), ("validation", f"cdefghij{seed}")):
            rows = [PreferencePair(Prompt((Message("user", text),)), "x", "y") for text in texts]
            write_rows(made.layout.pairs(name, split), rows)
    return made


def test_every_mixture_is_answered_judged_and_drawn(project):
    folder = front(project, steps=2)
    found = json.loads((folder / "front.json").read_text())
    base, longer, both, shorter = found["mixtures"]
    assert [m["weights"] for m in found["mixtures"]] == [
        {}, {"longer": 1.0}, {"longer": 0.5, "shorter": 1.0}, {"shorter": 2.0},
    ]  # fmt: skip
    assert [m["name"] for m in (longer, both)] == ["longer alone", "0.5 longer + 0.5 shorter"]
    assert base["health"]["kl"] == 0 < min(m["health"]["kl"] for m in (longer, both, shorter))
    assert both["win_rates"]["longer"]["n"] == 10, "the validation prompts of both dimensions, each once"
    assert set(both["held_out"]) == {"shorter"}
    rates = [[m["win_rates"][d]["value"] for d in ("longer", "shorter")] for m in found["mixtures"]]
    assert [m["on_front"] for m in found["mixtures"]] == non_dominated(rates)
    page = Outline((folder / "front.html").read_text())
    assert len([t for t, a in page.tags if a.get("class") == "plane"]) == 1
    assert "0.5 longer + 0.5 shorter" in page.text and "held-out judge of shorter" in page.text
    rows = (folder / "front.csv").read_text().splitlines()
    assert len(rows) == 5 and rows[3].startswith("0.5 longer + 0.5 shorter,0.5,1.0,")
    second = both["held_out"]["shorter"]
    assert rows[0].endswith(
        ",on_front,shorter_held_out_win_rate,shorter_held_out_lower,shorter_held_out_upper"
    )
    assert rows[3].endswith(f",{second['value']},{second['interval'][0]},{second['interval'][1]}")
    assert rows[1].endswith(",0.5,0.5,0.5"), "the base over itself"


def test_all_judges_are_checked_before_anything_is_decoded(project, tmp_path, monkeypatch):
    save(tmp_path / "headless", llama())
    change_tensors(tmp_path / "headless", lambda tensors: tensors.pop("score.weight"))
    params = json.loads((project.root / "params.yaml").read_text())
    params["dimensions"]["longer"]["judge"] = {"reward_model": {"model": str(tmp_path / "headless")}}
    params["dimensions"]["shorter"]["held_out"] = "plian"
    write_json(project.root / "params.yaml", params)
    monkeypatch.setattr("genarm.operations.front.open_decoder", lambda *_: pytest.fail("it was decoded"))
    with pytest.raises(
        JudgeError, match=r"2 things.*longer\.judge: .*score\.weight.*shorter\.held_out: .*plian"
    ):
        front(Project(project.root))


def test_other_weights_may_be_shared_out_and_one_dimension_has_no_front(project):
    found = json.loads((front(project, {"shorter": 0.5}, steps=1, prompts=3) / "front.json").read_text())
    assert [m["weights"] for m in found["mixtures"]] == [{}, {"longer": 1.0}, {"shorter": 0.5}]
    assert found["mixtures"][1]["win_rates"]["longer"]["n"] == 3
    params = json.loads(project.layout.params.read_text())
    del params["dimensions"]["shorter"]
    write_json(project.layout.params, params)
    with pytest.raises(ConfigError, match="one dimension, longer, and a front is of several"):
        front(Project(project.root))


def test_a_judge_that_was_trained_here_is_fetched_first(project, monkeypatch):
    """Its version is asked of the registry, which is empty; before, it was only missed in its folder."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", local_tracking_uri(project.root))
    params = json.loads((project.root / "params.yaml").read_text())
    params["dimensions"]["longer"]["judge"] = {"trained": {"version": 3}}
    write_json(project.root / "params.yaml", params)
    with pytest.raises(JudgeError, match=r"genarm-judge\.longer"):
        front(Project(project.root))
