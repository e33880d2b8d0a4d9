"""objective: dpo. What the start prefers is subtracted: once, for every way to train, and after a resume."""

import math

import pytest
import torch
from torch.testing import assert_close
from toy_training import OFTEN, Killed, at_pass, changed, die, preferences, run, slow_logps
from toys import toy_model

from genarm.models import cache_folder, load_model, resolve
from genarm.training import logps_at_start
from genarm.training.evaluate import evaluate_arm
from genarm.training.lora import load_adapter
from genarm.training.loss import Objective
from genarm.training.tokens import encode
from genarm.types import Champion

pytestmark = pytest.mark.usefixtures("own_cache")

DPO = changed(objective="dpo", evaluate_steps=100)


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GENARM_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def computed(monkeypatch) -> list[int]:
    """How many pairs were scored before training, an item for each split."""
    compute, scored = logps_at_start._compute, []

    def counting(model, pairs, *more):
        scored.append(len(pairs))
        return compute(model, pairs, *more)

    monkeypatch.setattr(logps_at_start, "_compute", counting)
    return scored


def test_the_loss_by_hand():
    """-3 and -5 nats over a start of -2 and -1: the chosen lost 1 and the rejected 4, a margin of 3."""
    logps, start = torch.tensor([[-3.0, -5.0]]), torch.tensor([[-2.0, -1.0]])
    owner = torch.tensor([0, 0, 1, 1, 1, 1])
    loss = Objective(0.1).losses(logps, owner, start)
    assert_close(loss, torch.tensor([math.log(1 + math.exp(-0.3))]))
    # A token: -1/2 for the chosen, -4/4 for the rejected; both log-probabilities are divided.
    mean = Objective(0.1, length_normalised=True).losses(logps, owner, start)
    assert_close(mean, torch.tensor([math.log(1 + math.exp(-0.1 * 0.5))]))


@pytest.mark.parametrize("change", [{}, {"method": "full"}, {"length_normalised": True}])
def test_it_starts_at_log_2_and_learns(toy, tmp_path, change):
    result = run(toy, tmp_path, DPO.model_copy(update=change))
    first = next(row for row in result.curves if "loss" in row)
    before, after = (row for row in result.curves if "eval/loss" in row)
    assert first["loss"] == pytest.approx(math.log(2), abs=1e-5)
    assert before["eval/loss"] == pytest.approx(math.log(2), abs=1e-5)
    assert after["eval/loss"] < 0.67
    assert result.metrics["validation/implicit_accuracy"] > 0.85
    assert result.metrics["validation/implicit_margin"] > 1
    assert result.card.params["objective"] == "dpo"
    steps = [row for row in result.curves if "loss" in row]
    assert steps[-1]["implicit_accuracy"] >= 0.75 and steps[-1]["implicit_margin"] > 1
    told = result.metrics
    parts = [told[f"validation/pairs_{part}"] for part in ("longer_chosen", "shorter_chosen", "equal_length")]
    assert sum(parts) == told["validation/pairs"] == 9
    assert told["validation/implicit_brier"] < 0.25 and 0 <= told["validation/calibration_error"] <= 1


def test_padded_rows_learn_what_packed_ones_do(toy, tmp_path, monkeypatch):
    config = DPO.model_copy(update={"epochs": 0.5})
    packed = run(toy, tmp_path / "packed", config)
    monkeypatch.setattr("genarm.training.train.prepare", lambda *_: False)
    padded = run(toy, tmp_path / "padded", config)
    for a, b in zip(packed.curves, padded.curves, strict=True):
        for name in set(a) & {"loss", "eval/loss", "eval/implicit_margin"}:
            assert b[name] == pytest.approx(a[name], abs=1e-3)


@pytest.mark.parametrize("method", ["lora", "full"])
def test_a_warm_start_counts_from_the_base_as_contrast_does(toy, tmp_path, computed, method):
    """What is subtracted is what the model below both ARMs gives, as guidance subtracts it from the ARM."""
    config = DPO.model_copy(update={"method": method, "learning_rate": 0.02 if method == "lora" else 0.005})
    champion = run(toy, tmp_path / "champion", config)
    folder, held_out = tmp_path / "champion" / "arm", preferences(9, seed=1)
    base = resolve(str(toy.folder))
    known = evaluate_arm(base, folder, held_out, dtype="float32")
    assert abs(known["implicit_margin"]) > 1
    computed.clear()
    result = run(
        *(toy, tmp_path / "on", config.model_copy(update={"warm_start": "champion"})),
        train=preferences(4, seed=9),
        start=folder,
        started_from=Champion(3, "m-3", champion.card.adapter_sha256, 1.0),
    )
    assert computed == [4], "of the validation pairs, the training of the champion has computed it"
    before, after = (row for row in result.curves if "eval/loss" in row)
    assert before["eval/implicit_margin"] == pytest.approx(known["implicit_margin"], abs=1e-3)
    assert before["eval/implicit_accuracy"] == known["implicit_accuracy"]

    pairs = encode(held_out, toy.tokenizer)
    arm = (
        load_adapter(toy_model(), folder) if method == "lora" else load_model(resolve(str(folder)), "float32")
    )
    gained = (slow_logps(arm, pairs) - slow_logps(toy.model, pairs)).tolist()
    loss = math.fsum(math.log1p(math.exp(-config.beta * (c - r))) for c, r in gained) / len(pairs)
    assert before["eval/loss"] == pytest.approx(loss, abs=1e-5)
    assert abs(loss - math.log(2)) > 0.01

    now = evaluate_arm(base, tmp_path / "on" / "arm", held_out, dtype="float32")
    assert after["eval/implicit_margin"] == pytest.approx(now["implicit_margin"], abs=1e-3)
    assert after["eval/implicit_margin"] != before["eval/implicit_margin"]


def test_what_is_subtracted_is_computed_once_and_read_by_the_next_training(toy, tmp_path, computed, caplog):
    first = run(toy, tmp_path / "one", DPO)
    assert computed == [18, 9]
    again = run(toy, tmp_path / "two", DPO)
    run(toy, tmp_path / "three", DPO.model_copy(update={"seed": 4, "beta": 0.2}))
    assert computed == [18, 9]
    assert again.card == first.card and again.curves == first.curves
    run(toy, tmp_path / "four", DPO.model_copy(update={"max_pairs": 8}))
    assert computed == [18, 9, 8]  # the validation pairs are the same
    run(toy, tmp_path / "five", DPO, dtype="bfloat16")
    assert computed == [18, 9, 8, 18, 9]

    computed.clear()
    for number, file in enumerate(sorted((cache_folder() / "start").iterdir())):
        text = file.read_text()
        file.write_text(text[:-20] if number % 2 else text.replace("-", "-1"))
    assert run(toy, tmp_path / "six", DPO).card == first.card
    assert computed == [18, 9] and "cut short or altered; it is written again" in caplog.text


@pytest.mark.parametrize("cache_lost", [False, True])
def test_a_killed_training_goes_on_to_the_same_bytes(toy, tmp_path, monkeypatch, computed, cache_lost):
    config = DPO.model_copy(update={"checkpoint_minutes": OFTEN})
    straight = run(toy, tmp_path / "straight", config)
    with monkeypatch.context() as patch:
        at_pass(patch, 11, die)
        with pytest.raises(Killed):
            run(toy, tmp_path / "killed", config)
    computed.clear()
    if cache_lost:
        for file in (cache_folder() / "start").iterdir():
            file.unlink()
    passes = at_pass(monkeypatch, None, die)
    resumed = run(toy, tmp_path / "killed", config)
    assert 0 < len(passes) < 11
    assert computed == ([18, 9] if cache_lost else [])
    assert resumed.card == straight.card and resumed.curves == straight.curves
