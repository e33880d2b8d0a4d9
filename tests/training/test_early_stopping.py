"""Early stopping: the best evaluation, its weights at the end, and the same stop after a kill."""

import pytest
from toy_training import CONFIG, Killed, at_pass, changed, die, noisy_preferences, preferences, run

from genarm import models
from genarm.config import EarlyStoppingConfig
from genarm.training.early_stopping import BestEvaluation, best_evaluation
from genarm.training.evaluate import evaluate_arm

pytestmark = pytest.mark.usefixtures("cache")

STOPS = dict(early_stopping=EarlyStoppingConfig(patience=2), evaluate_steps=2, epochs=12, learning_rate=0.05)


def test_the_best_evaluation_is_the_first_of_equals_and_never_the_one_before_training():
    def rows(*accuracies: float) -> list[dict[str, float]]:
        return [{"eval/rewards/accuracies": a, "step": 3 * i} for i, a in enumerate(accuracies)]

    assert best_evaluation(rows(0.9)) is None
    assert best_evaluation([*rows(0.9, 0.5), {"loss": 1.0, "step": 4}]) == BestEvaluation(3, 0)
    assert best_evaluation(rows(0.9, 0.5, 0.7, 0.7, 0.6)) == BestEvaluation(6, 2)
    by_both = [
        row | {"eval/implicit_accuracy": 1 - row["eval/rewards/accuracies"]} for row in rows(0, 0.5, 0.4)
    ]
    assert best_evaluation(by_both) == BestEvaluation(3, 1)
    assert best_evaluation(by_both, "eval/implicit_accuracy") == BestEvaluation(6, 0)


def test_what_was_learned_may_decide_which_step_is_kept(toy, tmp_path):
    stopping = EarlyStoppingConfig(patience=2, metric="implicit_accuracy")
    config = changed(**STOPS | {"early_stopping": stopping, "objective": "dpo"})
    result = run(toy, tmp_path, config, train=noisy_preferences(16))
    rows = [row for row in result.curves if "eval/loss" in row]
    best = best_evaluation(rows, "eval/implicit_accuracy")
    assert result.metrics["train/kept_step"] == best.step != best_evaluation(rows).step
    kept = next(row for row in rows if row["step"] == best.step)
    assert result.metrics["validation/implicit_margin"] == kept["eval/implicit_margin"]


@pytest.mark.parametrize("method", ["lora", "full"])
def test_it_stops_when_accuracy_no_longer_rises_and_keeps_the_best_step(toy, tmp_path, method):
    result = run(toy, tmp_path, changed(method=method, **STOPS), train=noisy_preferences(16))
    rows = [row for row in result.curves if "eval/loss" in row]
    best = best_evaluation(rows)
    assert best.evaluations_since == 2 and rows[-1]["step"] < 48
    metrics = result.metrics
    assert (metrics["train/kept_step"], metrics["train/steps"]) == (best.step, rows[-1]["step"])
    kept = next(row for row in rows if row["step"] == best.step)
    assert metrics["validation/margin"] != rows[-1]["eval/rewards/margins"] / CONFIG.beta
    assert metrics["validation/margin"] == kept["eval/rewards/margins"] / CONFIG.beta
    if method == "lora":
        base = models.resolve(str(toy.folder))
        measured = evaluate_arm(base, tmp_path / "arm", preferences(9, seed=1), dtype="float32")
        assert measured["margin"] == pytest.approx(metrics["validation/margin"], abs=1e-3)


def test_killed_before_it_stops_early_it_stops_at_the_same_step(toy, tmp_path, monkeypatch):
    config = changed(**STOPS)
    straight = run(toy, tmp_path / "straight", config, train=noisy_preferences(16))
    with monkeypatch.context() as patch:
        at_pass(patch, 10, die)
        with pytest.raises(Killed):
            run(toy, tmp_path / "killed", config, train=noisy_preferences(16))
    resumed = run(toy, tmp_path / "killed", config, train=noisy_preferences(16))
    assert resumed.card == straight.card
    assert resumed.curves == straight.curves
