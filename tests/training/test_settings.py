"""What users set of a training: the objective, where it starts, when it stops, and what fits together."""

import dataclasses
import random

import pytest
from pydantic import ValidationError
from test_train import CONFIG, Killed, cache, preferences, run  # noqa: F401  the cache is a fixture
from toys import toy_model

from genarm import models
from genarm.config import EarlyStoppingConfig, LoraConfig, TrainConfig, check_params
from genarm.errors import AdapterError, ConfigError
from genarm.models import arm as arms
from genarm.training.early_stopping import Standing, standing
from genarm.training.evaluate import evaluate_arm
from genarm.training.lora import adapt
from genarm.training.trainer import ArmTrainer
from genarm.types import Champion

FIRST = preferences(40, seed=7)


def changed(**values) -> TrainConfig:
    return CONFIG.model_copy(update=values)


@pytest.mark.parametrize(
    ("train", "message"),
    [
        ({"method": "fulll"}, "method = 'fulll'.*'lora' or 'full'"),
        ({"warmstart": "champion"}, r"unknown key 'train.default.warmstart' \(did you mean 'warm_start'\?\)"),
        ({"early_stopping": {"patiance": 2}}, "'train.default.early_stopping.patiance'.*'patience'"),
        ({"early_stopping": {"patience": 0}}, "patience = 0"),
        ({"method": "full", "quantise": "4bit"}, "'4bit' holds weights that cannot train.*quantise: null"),
        ({"revision": "main"}, "revision = 'main' belongs to `model`"),
        ({"label_smoothing": 0.5}, "label_smoothing = 0.5"),
        ({"margin": -1}, "margin = -1"),
    ],
)
def test_settings_that_cannot_be_are_refused_by_key(train, message):
    values = {
        "base": {"model": "nowhere"},
        "dimensions": ["kind"],
        "pairs": {"sources": {"kind": {"files": "a"}}},
        "train": {"default": train, "kind": {}},
        "respond": {"weights": {"kind": 1}},
        "judge": {"kind": {"scorer": "length"}},
    }
    with pytest.raises(ConfigError, match=message):
        check_params(values, "params.yaml")


def test_a_target_nearly_right_is_told_the_name():
    with pytest.raises(ConfigError, match=r"'q_porj' matches no linear module.*did you mean 'q_proj'"):
        adapt(toy_model(), LoraConfig(targets=("q_porj",)))
    with pytest.raises(ValidationError):
        LoraConfig(rank=0)


@pytest.mark.parametrize(
    "settings", [{"margin": 1.0}, {"label_smoothing": 0.2}, {"length_normalised": True}], ids=str
)
def test_an_objective_trains_and_changes_what_is_trained(toy, tmp_path, settings):
    """Accuracy and margin stay those of the sum, which decoding adds up; the loss is the objective's."""
    result = run(toy, tmp_path, changed(**settings))
    plain = run(toy, tmp_path)
    assert result.card.adapter_sha256 != plain.card.adapter_sha256
    assert result.metrics["validation/accuracy"] > 0.85
    for key in ("validation/margin_before", "validation/accuracy_before"):
        assert result.metrics[key] == plain.metrics[key]
    assert result.curves[0]["eval/loss"] != plain.curves[0]["eval/loss"]


@pytest.fixture(scope="module")
def champion(toy, tmp_path_factory):
    """The folder of an ARM that has learned from forty pairs, and the version it is of."""
    folder = tmp_path_factory.mktemp("champion")
    card = run(toy, folder, train=FIRST).card
    return folder / "arm", Champion(3, "m-3", card.adapter_sha256, 1.0)


@pytest.mark.parametrize("method", ["lora", "full"])
def test_training_on_starts_where_the_champion_is_and_beats_starting_anew(toy, tmp_path, champion, method):
    """Four new pairs are too few to learn from alone; the champion knows already what they say."""
    folder, version = champion
    if method == "full":
        run(toy, tmp_path / "champion", changed(method="full", learning_rate=0.01), train=FIRST)
        folder = tmp_path / "champion" / "arm"
    config = changed(method=method, epochs=1, learning_rate=0.002, warm_start="champion")
    few = preferences(4, seed=9)
    on = run(toy, tmp_path / "on", config, train=few, start=folder, started_from=version)
    anew = run(toy, tmp_path / "anew", config, train=few)
    there = evaluate_arm(models.resolve(str(toy.folder)), folder, preferences(9, seed=1), dtype="float32")
    assert on.metrics["validation/margin_before"] == pytest.approx(there["margin"], abs=1e-3)
    assert on.metrics["validation/accuracy"] > anew.metrics["validation/accuracy"]
    assert on.metrics["validation/margin"] > anew.metrics["validation/margin"] + 1
    assert arms.read_card(tmp_path / "on" / "arm").warm_start == version
    assert anew.card.warm_start is None


@pytest.mark.parametrize(
    ("update", "message"),
    [
        ({"lora": {"layers": 2, "rank": 3}}, "champion has lora.rank = 2, params.yaml asks for 3.*null"),
        ({"lora": {"layers": 3, "rank": 2}}, r"lora.layers = \[2, 3\], params.yaml asks for \[1, 2, 3\]"),
        ({"lora": {"layers": "all", "rank": 2}}, r"lora.layers = \[2, 3\], params.yaml asks for all"),
        ({"lora": {"layers": 2, "rank": 2, "alpha": 4}}, "lora.alpha = 16.*, params.yaml asks for 4"),
        ({"lora": {"layers": 2, "rank": 2, "targets": ["q_proj"]}}, r"lora.targets.*asks for \['q_proj'\]"),
        ({"method": "full"}, "champion has method = lora, params.yaml asks for method = full.*null"),
    ],
)
def test_a_champion_of_another_shape_is_refused_with_both_values(toy, tmp_path, champion, update, message):
    config = TrainConfig.model_validate({**CONFIG.model_dump(), **update})
    with pytest.raises(ConfigError, match=message):
        run(toy, tmp_path, config, start=champion[0], started_from=champion[1])


def test_a_champion_on_other_weights_is_refused(toy, tmp_path, champion):
    toy_model(seed=5).save_pretrained(tmp_path / "other")
    toy.tokenizer.save_pretrained(tmp_path / "other")
    with pytest.raises(AdapterError, match="adapts weights"):
        run(toy, tmp_path, base=models.resolve(str(tmp_path / "other")), start=champion[0])


def test_the_best_evaluation_is_the_first_of_equals_and_never_the_one_before_training():
    def rows(*accuracies: float) -> list[dict[str, float]]:
        return [{"eval/rewards/accuracies": a, "step": 3 * i} for i, a in enumerate(accuracies)]

    assert standing(rows(0.9)) is None
    assert standing([*rows(0.9, 0.5), {"loss": 1.0, "step": 4}]) == Standing(3, 0)
    assert standing(rows(0.9, 0.5, 0.7, 0.7, 0.6)) == Standing(6, 2)


def noisy(n: int) -> list:
    """Pairs with labels by chance: there is nothing to learn that holds on others."""
    rng = random.Random(4)
    pairs = preferences(n, seed=3)
    return [
        p if rng.random() < 0.5 else dataclasses.replace(p, chosen=p.rejected, rejected=p.chosen)
        for p in pairs
    ]


STOPS = dict(early_stopping=EarlyStoppingConfig(patience=2), evaluate_steps=2, epochs=12, learning_rate=0.05)


@pytest.mark.parametrize("method", ["lora", "full"])
def test_it_stops_when_accuracy_no_longer_rises_and_keeps_the_best_step(toy, tmp_path, method):
    result = run(toy, tmp_path, changed(method=method, **STOPS), train=noisy(16))
    rows = [row for row in result.curves if "eval/loss" in row]
    now = standing(rows)
    assert now.since == 2 and rows[-1]["step"] < 48
    metrics = result.metrics
    assert (metrics["train/kept_step"], metrics["train/steps"]) == (now.step, rows[-1]["step"])
    best = next(row for row in rows if row["step"] == now.step)
    assert metrics["validation/margin"] != rows[-1]["eval/rewards/margins"] / CONFIG.beta
    assert metrics["validation/margin"] == best["eval/rewards/margins"] / CONFIG.beta
    if method == "lora":
        base = models.resolve(str(toy.folder))
        found = evaluate_arm(base, tmp_path / "arm", preferences(9, seed=1), dtype="float32")
        assert found["margin"] == pytest.approx(metrics["validation/margin"], abs=1e-3)


def test_killed_before_it_stops_early_it_stops_at_the_same_step(toy, tmp_path, monkeypatch):
    config = changed(**STOPS)
    straight = run(toy, tmp_path / "straight", config, train=noisy(16))
    compute, calls = ArmTrainer.compute_loss, []

    def dies(self, *args, **kwargs):
        calls.append(1)
        if len(calls) == 10:
            raise Killed
        return compute(self, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(ArmTrainer, "compute_loss", dies)
        with pytest.raises(Killed):
            run(toy, tmp_path / "killed", config, train=noisy(16))
    resumed = run(toy, tmp_path / "killed", config, train=noisy(16))
    assert resumed.card == straight.card
    assert resumed.curves == straight.curves


def test_a_loss_that_is_no_number_leaves_the_last_good_checkpoint(toy, tmp_path, monkeypatch):
    compute = ArmTrainer.compute_loss

    def breaks(self, model, inputs, **more):
        loss = compute(self, model, inputs, **more)
        if self.state.global_step == 4:
            next(p for p in model.parameters() if p.requires_grad).data.fill_(float("nan"))
        return loss

    config = changed(checkpoint_minutes=1e-6)
    with monkeypatch.context() as patch:
        patch.setattr(ArmTrainer, "compute_loss", breaks)
        with pytest.raises(Exception, match="not a number at step [56]"):
            run(toy, tmp_path, config)
    kept = sorted(path.name for path in (tmp_path / "checkpoints").glob("*/checkpoint-*"))
    assert kept == ["checkpoint-3", "checkpoint-4"]
    assert run(toy, tmp_path, config).metrics["validation/accuracy"] > 0.85
