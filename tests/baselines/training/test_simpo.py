"""SimPO by TRL on our tokens, and DPO by our trainer: they learn, resume, and are policies with a card."""

import math

import pytest
import torch
from toy_training import CONFIG, preferences

from genarm import models
from genarm.baselines.training import dpo, simpo
from genarm.baselines.training.settings import SimpoTraining
from genarm.errors import ConfigError, DataError, TrainingError
from genarm.models.arm import read_card
from genarm.models.source import read_tokenizer
from genarm.system.files import sha256, write_rows
from genarm.system.progress import ProgressDisplay
from genarm.training import stock_trainer
from genarm.training.lora import load_adapter
from genarm.training.tokens import encode

FEW = SimpoTraining(learning_rate=0.02, batch_pairs=4, pass_pairs=2, epochs=3, lora={"layers": 2, "rank": 2})


@pytest.fixture
def pairs(tmp_path):
    write_rows(tmp_path / "train.jsonl", preferences(18))
    write_rows(tmp_path / "validation.jsonl", preferences(9, seed=1))
    return tmp_path / "train.jsonl"


def train(toy, pairs, name="first", config=FEW, dtype="float32"):
    root = pairs.parent / name
    return simpo.train(
        models.resolve(str(toy.folder)),
        pairs,
        name="short",
        dtype=dtype,
        config=config,
        out=root / "policy",
        work=root / "work",
    )


def mean_logps(toy, folder, file_pairs, dtype="float32") -> torch.Tensor:
    """Mean log-probabilities of chosen and rejected, a response at a time, in float32 -> [p, 2]."""
    model = models.load_model(source(toy), dtype)
    model = model if folder is None else load_adapter(model, folder)
    rows = []
    for pair in encode(file_pairs, read_tokenizer(toy.folder)):
        for response in (pair.chosen, pair.rejected):
            with torch.no_grad():
                logps = model(torch.tensor([pair.prompt + response])).logits[0].float().log_softmax(-1)
            picked = logps[len(pair.prompt) - 1 : -1].gather(-1, torch.tensor(response)[:, None])
            rows.append(picked.mean())
    return torch.stack(rows).view(-1, 2)


def source(toy):
    return models.resolve(str(toy.folder))


@pytest.mark.parametrize(("dtype", "rounding"), [("float32", 1e-4), ("bfloat16", 1e-2)])
def test_the_first_loss_is_that_of_the_equation(toy, pairs, dtype, rounding):
    """At the start the adapter is zero: the loss of a step of all pairs is the base's, by hand."""
    whole = FEW.model_copy(update={"batch_pairs": 18, "pass_pairs": 18, "epochs": 1})
    once = train(toy, pairs, "once", whole, dtype)
    means = mean_logps(toy, None, preferences(18), dtype)
    by_hand = -torch.nn.functional.logsigmoid(2.0 * (means[:, 0] - means[:, 1]) - 1.0).mean()
    loss = once.curves[0]["loss"]
    assert loss == pytest.approx(by_hand.item(), rel=rounding)
    assert torch.tensor(loss).bfloat16().item() != loss, "added up in float32, whatever the model computes in"


def test_training_lowers_the_loss_and_makes_a_policy_with_a_card(toy, pairs, capfd):
    made = train(toy, pairs)
    after = mean_logps(toy, pairs.parent / "first" / "policy", preferences(9, seed=1))
    before = mean_logps(toy, None, preferences(9, seed=1))
    gained = (after[:, 0] - after[:, 1]) - (before[:, 0] - before[:, 1])
    assert gained.mean() > 0.05 and made.curves[-1]["loss"] < made.curves[0]["loss"]
    assert made.metrics["train/pairs"] == 18 and made.metrics["train/steps"] == 15
    assert made.metrics["train/seconds"] > 0 and not list((pairs.parent / "first" / "work").iterdir())
    card = read_card(pairs.parent / "first" / "policy")
    assert (card.dimension, card.weight, card.guidance) == ("short", 1.0, "contrast")
    assert card.params["method"] == "simpo" and card.pairs_sha256 == sha256(pairs)
    assert capfd.readouterr().out == ""


def test_a_stopped_training_ends_with_the_weights_of_a_whole_one(toy, pairs, monkeypatch):
    train(toy, pairs, "whole")
    steps = []

    class Stops(ProgressDisplay):
        def show(self, step):
            steps.append(step.done)
            if len(steps) == 8:  # in the second epoch, which has 5 steps as the others
                raise KeyboardInterrupt

    monkeypatch.setattr(simpo, "ProgressDisplay", Stops)
    with pytest.raises(KeyboardInterrupt):
        train(toy, pairs, "stopped")
    (work,) = (pairs.parent / "stopped" / "work").iterdir()
    broken = work / "checkpoint-99"  # as a kill leaves one that is being written
    broken.mkdir()
    (broken / "trainer_state.json").write_text("{")
    made = train(toy, pairs, "stopped")
    assert 1 < steps[8] <= steps[7] and steps[-1] == 15
    assert [row["step"] for row in made.curves] == [*range(1, 16)]
    weights = [
        sha256(pairs.parent / n / "policy" / "adapter_model.safetensors") for n in ("whole", "stopped")
    ]
    assert weights[0] == weights[1]


def test_what_cannot_be_trained_says_so(toy, pairs, monkeypatch):
    with pytest.raises(TrainingError, match="the loss of short is no number after 1 steps") as caught:
        train(toy, pairs, "a", FEW.model_copy(update={"beta": math.inf}))
    assert "learning_rate" in caught.value.hint
    with pytest.raises(ConfigError, match="lora.layers = 9"):
        train(toy, pairs, "b", FEW.model_copy(update={"lora": FEW.lora.model_copy(update={"layers": 9})}))
    monkeypatch.setattr(simpo, "context_of", lambda model: 9)
    with pytest.raises(DataError, match="no pair of at most 9 tokens"):
        train(toy, pairs, "c")
    monkeypatch.setattr(stock_trainer.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(TrainingError, match="SimPO needs the package trl") as caught:
        train(toy, pairs, "d")
    assert caught.value.hint == "pip install 'genarm[baselines]'"


def test_dpo_is_our_trainer_with_its_own_objective(toy, pairs):
    made = dpo.train(
        source(toy),
        pairs,
        pairs.parent / "validation.jsonl",
        name="dpo",
        dtype="float32",
        config=CONFIG,
        out=pairs.parent / "dpo",
        work=pairs.parent / "work",
    )
    first = next(row for row in made.curves if "loss" in row)
    assert first["loss"] == pytest.approx(math.log(2), rel=1e-5), "every pair begins at a margin of zero"
    assert made.metrics["validation/implicit_accuracy"] > 0.7 and made.metrics["train/seconds"] > 0
    card = read_card(pairs.parent / "dpo")
    assert card.params["objective"] == "dpo" and (card.weight, card.guidance) == (1.0, "contrast")
