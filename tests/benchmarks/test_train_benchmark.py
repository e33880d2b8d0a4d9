"""The training benchmark runs from the command line, and compares like with like."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from toys import byte_tokenizer, toy_model

from genarm.training.tokens import TokenPair

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))  # its files are scripts, found beside one another

from train import ROWS, check_alike, main, options  # noqa: E402
from train_figures import WANTED  # noqa: E402
from train_limits import Work, fastest_products  # noqa: E402
from train_pairs import draw, read, write  # noqa: E402
from train_quality import main as quality  # noqa: E402
from train_quality import split  # noqa: E402
from train_rows import measure_row  # noqa: E402

TRAINED = set(ROWS) - {"limit"}


@pytest.fixture
def data(tmp_path) -> Path:
    """Pairs of 20 to some 60 tokens of a byte tokenizer, one of 300, and a row that is none."""
    file = tmp_path / "pairs.jsonl"
    rows = [{"prompt": "why " * (1 + i % 4), "chosen": "so" * (1 + i), "rejected": "no"} for i in range(8)]
    rows += [{"prompt": "why", "chosen": "because " * 40, "rejected": "no"}, {"prompt": "why"}]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def arguments(data: Path) -> list[str]:
    smallest = ["--quick", "--pairs=6", "--batch-pairs=2", "--max-tokens=100", "--top=1"]
    return [*smallest, "--dtype=float32", "--threads=1", f"--data={data}", f"--json={data.parent / 'f.json'}"]


def keys(rows: set[str]) -> set[str]:
    return {key for row in rows for key in (row, f"tokens_per_s_{row}", f"mem_{row}_mb")}


@pytest.mark.filterwarnings("ignore::FutureWarning")  # of TRL and peft
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_every_figure_of_a_run_is_there_and_positive(toy, data, monkeypatch, capsys):
    """All rows, here, as each would import torch anew. They check one another: ids, loss, adapters."""
    pytest.importorskip("trl")
    monkeypatch.setattr("train.prepare", lambda root: None)  # this process is prepared
    monkeypatch.setattr("train.run", measure_row)
    main([*arguments(data), f"--model={toy.folder}"])
    figures = json.loads((data.parent / "f.json").read_text())
    assert set(figures) == keys(TRAINED) | {"limit", "limit_top8"}
    assert all(value > 0 for value in figures.values())
    shown = capsys.readouterr().out
    assert "ours / TRL CPO" in shown and "6 pairs" in shown and "so" * 3 not in shown


def test_a_shape_of_random_weights_runs_from_the_shell(toy, data):
    command = [sys.executable, str(BENCHMARKS / "train.py"), *arguments(data), f"--model={toy.folder}"]
    command += ["--shape=tiny", "--device=cpu", "--rows=ours_top8"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert set(json.loads((data.parent / "f.json").read_text())) == keys({"ours_top8"})


def test_pairs_are_drawn_by_seed_and_kept_as_text_and_ids(data, tmp_path):
    tokenizer = byte_tokenizer()
    drawn = draw([data], tokenizer, count=99, max_tokens=100, seed=0)
    assert len(drawn) == 8, "the long one and the row that is none are left out"
    assert drawn != draw([data], tokenizer, count=99, max_tokens=100, seed=1)
    assert drawn[:3] == draw([data], tokenizer, count=3, max_tokens=100, seed=0)
    pair = drawn[0]
    ids = pair.ids.prompt + pair.ids.chosen
    assert tokenizer(pair.prompt + pair.chosen)["input_ids"] == ids and ids[-1] == tokenizer.eos_token_id
    assert pair.tokens == pair.ids.row_tokens + 2
    write(tmp_path / "drawn.jsonl", drawn)
    assert read(tmp_path / "drawn.jsonl") == drawn


def test_both_ways_of_training_are_measured_on_pairs_of_other_prompts(toy, data, monkeypatch, capsys):
    """In float32 a packed and a padded training end with the same verdicts; the table says how far apart."""
    monkeypatch.setattr("train_quality.prepare", lambda root: None)  # this process is prepared
    settings = ["--pairs=6", "--held-out=3", "--max-tokens=100", "--seeds=2", "--layers=1", "--dtype=float32"]
    quality([f"--data={data}", f"--model={toy.folder}", f"--json={data.parent / 'q.json'}", *settings])
    figures = json.loads((data.parent / "q.json").read_text())
    assert [figures[f"ours_seed{s}"] for s in (0, 1)] == [figures[f"plain_seed{s}"] for s in (0, 1)]
    assert (figures["pairs"], figures["held_out"]) == (4, 3), "two prompts of two pairs on either side"
    assert "+0.000" in capsys.readouterr().out


def test_held_out_pairs_have_prompts_of_their_own(data):
    pairs = draw([data], byte_tokenizer(), count=99, max_tokens=100, seed=0)
    kept, rest = split(pairs, 3)
    assert len(kept) + len(rest) == len(pairs) and len(rest) >= 3
    assert not {p.prompt for p in kept} & {p.prompt for p in rest}


def test_work_counted_by_hand():
    """Layers of 10, 20 and 30, LoRAs of 1, 2 and 3, a head of 100; 3 + 2 + 4 tokens, so 7 in the row.

    All layers: (60 + 60 + 3 * 6) * 7 + 2 * 100 * 6 = 2166; the last: (60 + 30 + 3 * 3) * 7 + 1200 = 1893.
    """
    work, pair = Work([10, 20, 30], [1, 2, 3], 100), TokenPair("", [0] * 3, [0] * 2, [0] * 4)
    assert (work.pair(pair, lowest=0), work.pair(pair, lowest=2)) == (2166, 1893)


def test_work_of_the_toy():
    """A toy layer: q and o 32*32, k and v 32*16, three of 32*64; a LoRA of rank 8 on all of them."""
    layer = 2 * 32 * 32 + 2 * 32 * 16 + 3 * 32 * 64
    lora = 8 * (2 * (32 + 32) + 2 * (32 + 16) + 3 * (32 + 64))
    assert Work.of(toy_model(), 8) == Work([layer] * 4, [lora] * 4, 264 * 32)


def test_products_are_counted_as_multiply_adds(monkeypatch):
    """A clock that ticks once a look makes every product last a second: the largest is the rate."""
    monkeypatch.setattr("train_limits.SQUARE", 48)
    ticks = iter(range(1000))
    monkeypatch.setattr("train_limits.now", lambda device: float(next(ticks)))
    assert fastest_products(toy_model(), 64) == 64 * 32 * 64 == 131072 > 48**3


def alike(**changes: float) -> dict[str, dict[str, float]]:
    rows = {row: {"loss": 1.0, "trained": 10.0} for row in ("trl_dpo", "trl_cpo", "ours")}
    rows["ours_top8"] = {"loss": 1.02, "trained": 3.0}
    rows["trl_dpo"]["loss"] = 0.69
    rows["ours"] |= changes
    return rows


def test_rows_that_compute_something_else_are_no_comparison():
    check_alike(alike())
    with pytest.raises(SystemExit, match="same loss"):
        check_alike(alike(loss=1.2))
    with pytest.raises(SystemExit, match="as many numbers"):
        check_alike(alike(trained=11.0))


def test_every_wanted_ratio_is_of_figures_that_are_measured():
    assert {key for figure in WANTED for key in (figure.above, figure.below)} <= keys(TRAINED)


def test_options_that_do_not_fit_are_refused(capsys):
    with pytest.raises(SystemExit):
        options(["--batch-pairs=8", "--trl-pairs=3"])
    with pytest.raises(SystemExit):
        options(["--rows=theirs"])
    message = capsys.readouterr().err
    assert "--trl-pairs 3 does not divide --batch-pairs 8" in message and "no row 'theirs'" in message
    assert options(["--max-tokens=4096"]).batch_tokens == 4096, "a pack holds the longest pair"
