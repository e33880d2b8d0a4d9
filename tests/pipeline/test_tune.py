"""The stage `tune` on a toy: what it answers and writes, and that a number in params.yaml is the weight."""

import json
import random
import shutil
import subprocess
import sys
from dataclasses import replace
from itertools import groupby

import pytest
import torch
from llm_server import KEY, LlmServer
from toy_arms import make_arm
from toy_params import dimension

from genarm.config import SamplingConfig
from genarm.decoding import load_decoder
from genarm.decoding.runner.ensemble import Ensemble
from genarm.errors import DataError, JudgeError
from genarm.evaluation.respond import respond
from genarm.evaluation.sweep import Setting, sweep
from genarm.judges import LoadedJudge, ScoreJudge
from genarm.models import resolve
from genarm.models.arm import adapter_hash
from genarm.pipeline.project import Project
from genarm.pipeline.stages.tune import tune
from genarm.pipeline.validation import validation_prompts
from genarm.system.files import write_json, write_rows
from genarm.types import Message, PreferencePair, Prompt

torch.set_num_threads(1)

SAMPLING = {"temperature": 1, "max_new_tokens": 8, "batch_size": 8, "top_p": 1.0}


def pairs(*names: str) -> list[PreferencePair]:
    return [PreferencePair(Prompt((Message("user", name),)), "a", "b") for name in names]


@pytest.fixture
def project(toy, tmp_path):
    params = {
        "base": {"model": str(toy.folder), "dtype": "float32"},
        "dimensions": {"kind": dimension(weight="tuned") | {"held_out": "brief"}},
        "tune": {
            "weights": [0.5, 2.0],
            "prompts": 9,
            "max_kl": 100.0,
            "max_health_ratio": 100.0,
            "min_finished_ratio": 0.0,
        },
        "respond": {"guidance": "sum", "sampling": SAMPLING},
    }
    write_json(tmp_path / "params.yaml", params)
    made = Project(tmp_path)
    make_arm(made.layout.arm("kind"), resolve(str(toy.folder)), toy.model, seed=0)
    write_rows(made.layout.pairs("kind", "evaluation"), pairs("mine", "yours"))
    names = [f"say {i}" for i in range(12)]
    write_rows(made.layout.pairs("kind", "validation"), pairs(*names, *names[:3], "mine"))
    return made


def changed(project: Project, section: str, **values: object) -> Project:
    """The project with other parameters of a section; parameters are read once a project."""
    params = json.loads(project.layout.params.read_text())
    params[section] |= values
    write_json(project.layout.params, params)
    return Project(project.root)


def test_it_writes_the_weight_with_its_curve(project):
    tuned = tune(project, "kind")
    assert project.tuned("kind") == tuned and (tuned.source, tuned.guidance) == ("validation", "sum")
    assert [(p.kind, p.weight) for p in tuned.curve] == [
        ("base", 0.0), ("guided", 0.5), ("guided", 2.0), ("sharpened", tuned.weight),
    ]  # fmt: skip
    base, weak, strong, control = tuned.curve
    assert all(0 <= p.finished <= 1 for p in tuned.curve)
    assert 0 == base.kl < weak.kl < strong.kl and control.temperature == 1 / (1 + tuned.weight)
    assert tuned.weight in (0.5, 2.0) and tuned.within_limits and tuned.prompts == 9
    assert all(p.win_rate.n == p.held_out.n == 9 for p in tuned.curve)
    assert tuned.judge.startswith("length, ") and tuned.held_out_judge.startswith("brief, ")
    strength = json.loads(project.layout.tuned_strength("kind").read_text())
    assert strength == {"weight": tuned.weight, "guidance": "sum"}
    assert len(project.layout.tuned_curve("kind").read_text().splitlines()) == 4


def test_a_judge_is_done_before_the_next_one_begins_and_scores_nothing_twice(project, monkeypatch):
    """Two reward models that take turns would be read from disk at every weight."""
    turns, asked = [], []

    def judge_of(config, root):
        def score_all(prompts, texts):
            turns.append(config.name)
            asked.extend((config.name, p.id, text) for p, text in zip(prompts, texts, strict=True))
            return [float(len(text)) for text in texts]

        return LoadedJudge(ScoreJudge(lambda prompt, text: 0.0, 0.0, score_all), config)

    monkeypatch.setattr("genarm.judges.load_with_origin", judge_of)
    tune(project, "kind")
    assert [name for name, _ in groupby(turns)] == ["length", "brief"] and len(turns) == 6
    assert len(asked) == len(set(asked))


def test_what_a_language_model_costs_in_tuning_is_told_apart_from_judging(project, monkeypatch):
    monkeypatch.setenv("JUDGE_KEY", KEY)
    with LlmServer() as server:
        judge = {"llm": {"model": "judge", "base_url": server.url, "key": "JUDGE_KEY"}}
        kind = dimension(weight="tuned") | {"judge": judge, "held_out": "brief"}
        tuned = tune(changed(project, "dimensions", kind=kind), "kind")
    assert "judge-2026-01-01" in tuned.judge
    told = json.loads(project.layout.judge_statistics("kind", "tune").read_text())
    assert list(told) == ["judge"] and told["judge"]["usage"]["requests"] == len(server.requests) - 1
    assert not project.layout.judge_statistics("kind").exists()


def test_a_number_in_the_parameters_is_the_weight_and_nothing_is_answered(project, monkeypatch):
    monkeypatch.setattr("genarm.pipeline.stages.tune.open_decoder", None)
    dimensions = {"kind": dimension(weight=0.7)}
    params = json.loads(project.layout.params.read_text()) | {"dimensions": dimensions}
    write_json(project.layout.params, params)
    tuned = tune(Project(project.root), "kind")
    assert (tuned.weight, tuned.source, list(tuned.curve)) == (0.7, "params.yaml", [])
    assert tuned.adapter_sha256 == adapter_hash(project.layout.arm("kind"))
    assert project.layout.tuned_curve("kind").read_text().startswith("weight,kl,") and tuned.within_limits


def test_a_number_asks_for_no_judge(project):
    """Not even for one that could be loaded: in a process of its own, since this one has loaded judges."""
    params = json.loads(project.layout.params.read_text())
    params["dimensions"] = {"kind": dimension(weight=0.7) | {"judge": "nowhere:Nobody"}}
    write_json(project.layout.params, params)
    program = "import sys; from genarm.cli.tuning import tune; tune('kind'); " + (
        "print([m for m in sys.modules if m.startswith('genarm.judges')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=project.root, capture_output=True, text=True, check=False
    )
    assert done.stdout.splitlines()[-1:] == ["[]"], done.stderr


def test_a_weight_of_another_arm_is_refused_with_the_way_out(toy, project):
    """The ARM was trained again and not tuned; a file of earlier genarm does not say whose it is."""
    params = json.loads(project.layout.params.read_text()) | {"dimensions": {"kind": dimension(weight=0.7)}}
    write_json(project.layout.params, params)
    before = tune(project := Project(project.root), "kind").adapter_sha256
    shutil.rmtree(project.layout.arm("kind"))
    make_arm(project.layout.arm("kind"), resolve(str(toy.folder)), toy.model, seed=1)
    now = adapter_hash(project.layout.arm("kind"))
    told = f"tuned.json holds the weight of the ARM {before[:12]}, .* is {now[:12]}; hint: .*genarm tune kind"
    with pytest.raises(DataError, match=told):
        project.tuned("kind")
    fields = json.loads(project.layout.tuned("kind").read_text())
    del fields["adapter_sha256"]
    write_json(project.layout.tuned("kind"), fields)
    assert project.tuned("kind").weight == 0.7
    assert tune(project, "kind").adapter_sha256 == now and project.tuned("kind").adapter_sha256 == now


def test_a_held_out_judge_that_is_the_judge_is_refused_before_anything_is_answered(project, monkeypatch):
    monkeypatch.setattr("genarm.pipeline.stages.tune.open_decoder", None)
    kind = dimension(weight="tuned") | {"held_out": {"scorer": "length", "tie": 1.0}}
    with pytest.raises(JudgeError, match=r"dimensions\.kind\.held_out, length, is the judge length"):
        tune(changed(project, "dimensions", kind=kind), "kind")


def test_where_no_weight_keeps_the_limits_the_smallest_is_used_and_said_to_be_none(project):
    tuned = tune(changed(project, "tune", max_kl=1e-6), "kind")
    assert tuned.weight == 0.5 and not tuned.within_limits
    assert tuned.why.startswith("no weight of 2 keeps the limits of tuning") and tuned.why.count("KL ") == 2


def test_what_the_weight_multiplies_is_told_with_it(project):
    by_sum = tune(project, "kind")
    by_contrast = tune(changed(project, "respond", guidance="contrast"), "kind")
    assert by_contrast.guidance == json.loads(project.layout.tuned_strength("kind").read_text())["guidance"]
    first, same = by_contrast.curve[0], by_sum.curve[0]  # at weight 0, in batches of other sizes
    assert by_contrast.guidance == "contrast" and first.perplexity == pytest.approx(same.perplexity, rel=1e-6)
    assert replace(first, perplexity=0.0) == replace(same, perplexity=0.0)
    assert by_contrast.curve[2].kl != by_sum.curve[2].kl and by_contrast.curve[2].perplexity > 0


def test_prompts_of_the_decision_are_never_tuned_on(project):
    found = validation_prompts(project, ["kind"], most=100)
    assert sorted(p.messages[-1].content for p in found) == sorted(f"say {i}" for i in range(12))
    assert [p.id for p in found] == sorted(p.id for p in found)
    assert validation_prompts(project, ["kind"], most=5) == found[:5]
    write_rows(project.layout.pairs("kind", "validation"), pairs("mine"))
    with pytest.raises(
        DataError, match="validation split of kind has no prompt.*hint: raise pairs.validation"
    ):
        validation_prompts(project, ["kind"], most=5)


def test_a_sweep_gives_every_setting_its_own_tokens_and_reads_a_prompt_once(toy, project, monkeypatch):
    """float32: the same tokens as answering at each setting by itself."""
    rng, sampling = random.Random(0), SamplingConfig(**SAMPLING, seed=3)
    prompts = [Prompt((Message("user", "x" * rng.randint(1, 9) + str(i)),)) for i in range(6)]
    decoder = load_decoder(
        resolve(str(toy.folder)), {"kind": project.layout.arm("kind")}, dtype="float32", batch_size=8
    )
    weights = ({}, {"kind": 0.5}, {"kind": 2.0})
    apart = [respond(prompts, decoder, toy.tokenizer, weights=w, sampling=sampling) for w in weights]
    cold = sampling.model_copy(update={"temperature": 0.5})
    apart.append(respond(prompts, decoder, toy.tokenizer, weights={}, sampling=cold))
    read, prefill = [], Ensemble.prefill
    monkeypatch.setattr(
        Ensemble, "prefill", lambda self, found: (read.extend(found), prefill(self, found))[1]
    )
    settings = [*(Setting(1.0, w) for w in weights), Setting(0.5)]
    together = sweep(prompts, decoder, toy.tokenizer, settings, sampling)
    assert [[r.text for r in rows] for rows in together] == [[r.text for r in rows] for rows in apart]
    assert len({tuple(r.text for r in rows) for rows in together}) == 4
    assert len(read) == len(set(read)) == len(prompts)
