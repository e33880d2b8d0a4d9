"""The benchmark of preferences runs whole on a toy, ours beside TRL's, and its errors are worked by hand."""

import json
import sys
from pathlib import Path

import pytest
import torch
from toy_training import preferences

from genarm.system.files import write_rows

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))  # its files are scripts, found beside one another

from preferences import main, options  # noqa: E402
from preferences_figures import Parts, Result, accuracy, figures  # noqa: E402

ROWS = {"longer_chosen": [1, 0, 0, 0], "shorter_chosen": [0, 1, 1, 0], "equal_length": [0, 0, 0, 1]}


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.setattr("preferences.prepare", lambda root: None)  # this process is prepared
    for name, seed, count in (("train", 0, 24), ("test", 1, 12)):
        pairs = preferences(count, seed=seed)
        rows = [
            {"prompt": f"say {p.prompt.messages[0].content}", "chosen": p.chosen, "rejected": p.rejected}
            for p in pairs
        ]
        write_rows(tmp_path / f"{name}.jsonl", rows)
    with (tmp_path / "train.jsonl").open("a") as file:
        file.write(json.dumps({"prompt": "why", "chosen": "because " * 40, "rejected": "no"}) + "\n")
        file.write('{"prompt": "why"}\n')
    return [f"--data={tmp_path / 'train.jsonl'}", f"--test={tmp_path / 'test.jsonl'}"]


@pytest.mark.filterwarnings("ignore::FutureWarning")  # of TRL and peft
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_every_figure_is_there_and_dpo_learns_what_trls_does(toy, files, tmp_path, capsys):
    pytest.importorskip("trl")
    small = ["--layers=2", "--seeds=2", "--rank=2", "--learning-rate=0.02", "--epochs=2", "--beta=0.1"]
    small += ["--batch-pairs=4", "--max-tokens=100", "--dtype=float32", "--device=cpu"]
    main([*files, *small, "--trl", f"--base={toy.folder}", f"--json={tmp_path / 'f.json'}"])
    found = json.loads((tmp_path / "f.json").read_text())
    assert (found["n"], found["pairs"], found["left_out"]) == (12, 24, 2)
    assert 0 < found["se"] < 0.2 and found["n_longer_chosen"] + found["n_shorter_chosen"] <= 12
    for way in ("arm", "dpo", "trl_dpo"):
        name = f"implicit_accuracy_{way}"
        assert found[name] > 0.7 and {f"se_{name}", f"se_seeds_{name}"} <= found.keys()
        assert 0 <= found[f"sum_accuracy_{way}_longer_chosen"] <= 1
    assert found["implicit_margin_dpo"] == pytest.approx(found["implicit_margin_trl_dpo"], rel=1e-3)
    said = capsys.readouterr()
    assert "TRL's DPOTrainer" in said.out and '"longer is chosen"' in said.out
    assert "6 of 6: trl_dpo, layers 2, seed 1" in said.err


def test_what_cannot_be_is_refused_at_once(files, capsys):
    for wrong, told in (
        (["--objectives=arm,ppo"], "no objective 'ppo'; there are arm, dpo"),
        (["--layers=top"], "--layers top: give numbers or all"),
        (["--trl", "--batch-pairs=3"], "it is even"),
        (["--test=none.jsonl"], "no file at none.jsonl"),
    ):
        with pytest.raises(SystemExit):
            options([*files, *wrong])
        assert told in capsys.readouterr().err


def test_errors_by_hand():
    """Means over seeds 1, .5, .5, 0, about .5: apart sqrt(4/3 (.25 + .25)) / 4 = .204.

    The first two pairs are of one prompt: sqrt(3/2 (.5^2 + 0 + .5^2)) / 4 = .217.
    Seeds get .75 and .25: sd .354 / sqrt 2 = .25.
    """
    seeds = [torch.tensor([1.0, 1, 1, 0]).double(), torch.tensor([1.0, 0, 0, 0]).double()]
    apart = accuracy(seeds, ["a", "b", "c", "d"])
    assert (apart.value, apart.se) == (0.5, pytest.approx(0.2041, abs=1e-4))
    assert apart.se_seeds == pytest.approx(0.25)
    assert accuracy(seeds, ["a", "a", "b", "c"]).se == pytest.approx(0.2165, abs=1e-4)
    assert accuracy(seeds[:1], ["a", "b", "c", "d"]).se_seeds is None


def test_figures_by_length():
    masks = {part: torch.tensor(rows).bool() for part, rows in ROWS.items()}
    parts = Parts(["a", "b", "c", "d"], masks, [1, 0, 0, 0.5])
    before = torch.tensor([-1.0, 2.0, 1.0, 0.0]).double()
    after = torch.tensor([-0.5, 2.0, 0.5, 1.0]).double()
    results = [Result("before", None, 0, before, before, parts, 1.0)]
    results.append(Result("dpo", 8, 0, after, before, parts, 0.1))
    results.append(Result("dpo", "all", 0, before, before, parts, 0.1))
    flat = figures(results, parts.longer_is_right, {"pairs": 9.0})
    assert (flat["n"], flat["longer"], flat["pairs"]) == (4, 0.375, 9)
    assert (flat["sum_accuracy_before"], flat["sum_accuracy_dpo"]) == (0.625, 0.75)
    assert flat["implicit_accuracy_dpo"] == 0.625, "up, a tie, down, up"
    assert flat["implicit_accuracy_dpo_longer_chosen"] == 1
    assert flat["implicit_accuracy_dpo_shorter_chosen"] == 0.25
    assert flat["implicit_margin_dpo"] == pytest.approx(0.25)
    assert flat["implicit_accuracy_dpo_layersall"] == 0.5
