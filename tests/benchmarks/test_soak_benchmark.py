"""The soak of the server: how memory is judged, and a short one with both swaps."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from toy_arms import TOKENS, as_peft_loads_it
from toys import toy_model

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))  # its files are scripts, found beside one another

import soak_ties  # noqa: E402
from soak import measured  # noqa: E402
from soak_requests import Expected, Told  # noqa: E402
from toy_server import ToyProject  # noqa: E402


def rows_of(mb) -> list[tuple[float, float, int, int, int]]:
    return [(float(t), mb(t), 5, 12, t) for t in range(0, 3601, 10)]


def test_memory_is_judged_after_the_warm_up_alone():
    """What it starts with counts for nothing, and one peak for little; 6 MB an hour are flat, 60 are not."""
    peak = {2000: 560.0}
    found = measured(rows_of(lambda t: 400.0 if t < 600 else peak.get(t, 500 + t / 600)), 1 / 6)
    assert (found["lowest_mb"], found["highest_mb"]) == (501, 560)
    assert found["first_mean_mb"] == 501.2 and found["last_mean_mb"] == 505.8
    assert found["departure"] == pytest.approx(0.0046, abs=1e-4)
    assert measured(rows_of(lambda t: 500 + t / 60), 1 / 6)["departure"] > 0.03


def test_an_answer_that_parts_from_the_other_where_two_tokens_meet_is_rounded(tmp_path, monkeypatch):
    """The borders are those of the guided policy, worked out here; next to one, either token may come."""
    project = ToyProject(tmp_path)
    expected = Expected(project)
    ties = soak_ties.Ties(project, expected.tokenizer)
    [wanted] = expected.of("guided", 5, {"kind": 2})
    ids, at = wanted.told.ids, 4
    other = Told(ids=[*ids[:at], (ids[at] + 1) % 256, *ids[at + 1 :]])
    assert ties.parting(other, wanted.told) == [at] and ties.parting(wanted.told, wanted.told) == []
    assert not ties.explain(other, wanted, 2)

    model, before = toy_model(), torch.tensor([[*wanted.request.prompt, *ids[:at]]])
    arms = {name: as_peft_loads_it(model, project.folders[name]) for name in ("kind@2", "curt")}
    with torch.no_grad():
        base, kind, curt = (
            read(before).logits[0, -1, :TOKENS].double().log_softmax(-1)
            for read in (model, arms["kind@2"], arms["curt"])
        )
    border = float((base + 0.8 * kind + 0.4 * curt).softmax(-1)[: ids[at] + 1].sum())
    monkeypatch.setattr(soak_ties, "random_stream", lambda _, n: np.full((n, 3), border + 3e-7))
    assert ties.explain(other, wanted, 2) and not ties.explain(other, wanted, 1)

    whole = expected.tokenizer.decode(ids)
    cut = Told(text=expected.tokenizer.decode(ids[:at]) + "another")
    assert at in ties.parting(cut, wanted.told) and len(ties.parting(cut, wanted.told)) < len(ids)
    assert ties.parting(Told(text=whole[:1] + "another"), wanted.told)[0] <= 1


@pytest.mark.slow
def test_a_short_soak_loses_nothing(tmp_path):
    file = tmp_path / "figures.json"
    words = ["--minutes", "0.5", "--every", "1", "--out", str(tmp_path), "--json", str(file)]
    subprocess.run([sys.executable, BENCHMARKS / "soak.py", *words], timeout=600, check=False)
    found = json.loads(file.read_text())
    bad = ("lost", "different", "open_afterwards", "exit_status", "tracebacks")
    assert not any(found[name] for name in bad) and found["requests"] > 1
    assert found["swaps"] == 2 and found["votes_kept"] == found["votes_given"]
    assert "</svg>" in (tmp_path / "memory.svg").read_text()
