"""Training: it learns, gives the same bytes each time, and refuses what it cannot train on."""

import json

import pytest
import torch
from toy_training import changed, preferences, run
from transformers import LlamaForCausalLM

from genarm import models
from genarm.errors import ConfigError, DataError, TrainingError
from genarm.models.arm import read_card
from genarm.report.build import CURVES
from genarm.training.evaluate import evaluate_arm
from genarm.types import Message, PreferencePair, Prompt

pytestmark = pytest.mark.usefixtures("cache")


def test_it_learns_what_the_pairs_say(trained):
    _, result = trained
    metrics = result.metrics
    assert metrics["validation/accuracy_before"] < 0.85 < metrics["validation/accuracy"]
    assert metrics["validation/margin"] > metrics["validation/margin_before"]
    assert (metrics["train/pairs"], metrics["train/steps"], metrics["validation/pairs"]) == (18, 9, 9)


def test_the_curves_have_a_row_a_step_and_the_names_of_the_field(trained):
    _, result = trained
    steps = [row for row in result.curves if "loss" in row]
    assert [row["step"] for row in steps] == [*range(1, 10)]
    names = {"rewards/accuracies", "rewards/margins", "logps/chosen", "logps/rejected", "grad_norm"}
    assert names | {"learning_rate"} <= set(steps[0])
    assert [row["step"] for row in result.curves if "eval/loss" in row] == [0, 9]
    assert {f"eval/{name}" for name in CURVES} <= {*result.curves[0], *result.curves[-1]}, (
        "as the report reads"
    )


def test_the_folder_is_plain_peft_and_names_no_path_of_this_machine(trained, toy):
    from peft import PeftModel

    arm, result = trained
    assert read_card(arm) == result.card
    assert sorted(p.name for p in arm.iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
        "arm.json",
    ]
    config = json.loads((arm / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == models.resolve(str(toy.folder)).id
    assert config["target_modules"] == sorted(config["target_modules"])
    with pytest.warns(FutureWarning):  # peft's own
        adapted = PeftModel.from_pretrained(LlamaForCausalLM.from_pretrained(toy.folder), str(arm))
    ids = torch.tensor([[1, 2, 3]])
    assert not torch.allclose(adapted(ids).logits, toy.model(ids).logits)


def test_a_saved_arm_measures_as_it_did_while_training(trained, toy):
    arm, result = trained
    measured = evaluate_arm(models.resolve(str(toy.folder)), arm, preferences(9, seed=1), dtype="float32")
    assert measured["accuracy"] == result.metrics["validation/accuracy"]
    assert measured["margin"] == pytest.approx(result.metrics["validation/margin"], abs=1e-3)
    assert measured["longer_is_chosen"] == result.metrics["validation/longer_is_chosen"]
    assert measured["n"] == 9
    assert measured["implicit_accuracy"] == result.metrics["validation/implicit_accuracy"] > 0.85
    for name in ("implicit_margin", "implicit_brier", "implicit_calibration_error", "brier"):
        assert measured[name] == pytest.approx(result.metrics[f"validation/{name}"], abs=1e-3)
    for part in ("longer_chosen", "shorter_chosen", "equal_length"):
        assert measured[f"n_{part}"] == result.metrics[f"validation/pairs_{part}"]
        for name in (f"accuracy_{part}", f"implicit_accuracy_{part}"):
            assert measured.get(name) == result.metrics.get(f"validation/{name}")


def test_the_same_inputs_give_the_same_bytes(trained, toy, tmp_path):
    arm, result = trained
    again = run(toy, tmp_path)
    assert again.card == result.card
    assert again.curves == result.curves
    assert (tmp_path / "arm" / "adapter_config.json").read_bytes() == (
        arm / "adapter_config.json"
    ).read_bytes()
    assert not list((tmp_path / "checkpoints").iterdir())
    other = run(toy, tmp_path, changed(seed=1))
    assert other.card.adapter_sha256 != result.card.adapter_sha256


def test_packs_change_nothing_but_rounding(toy, tmp_path):
    """Steps of 4, 4 and 2 pairs: loss and gradient are the mean over a step's pairs, however it is packed."""

    def curves(tokens: int) -> list[dict[str, float]]:
        config = changed(batch_tokens=tokens, epochs=1)
        return run(toy, tmp_path, config, train=preferences(10)).curves

    one_pack, *others = (curves(tokens) for tokens in (999, 64, 40))
    assert len(one_pack) == 5  # three steps between two evaluations
    for other in others:
        for a, b in zip(one_pack, other, strict=True):
            assert a == pytest.approx(b, rel=1e-3, abs=1e-3)


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


def test_a_loss_that_is_not_finite_names_the_prompts(toy, tmp_path):
    pairs = preferences(12)
    with pytest.raises(TrainingError, match="not finite at step 3, on the prompts.*hint: lower") as caught:
        run(toy, tmp_path, changed(learning_rate=1e38), train=pairs)
    assert any(pair.prompt.id in str(caught.value) for pair in pairs)
    assert not (tmp_path / "arm").exists()


@pytest.mark.parametrize("split", ["train", "validation"])
def test_an_empty_split_is_named(toy, tmp_path, split):
    name = {"train": "training"}.get(split, split)
    with pytest.raises(DataError, match=f"loud has no {name} pairs.*pairs.validation"):
        run(toy, tmp_path, **{split: []})


def test_at_most_so_many_pairs_are_taken_by_the_seed(toy, tmp_path):
    few = run(toy, tmp_path, changed(max_pairs=5, epochs=1))
    assert few.metrics["train/pairs"] == 5


def test_a_pack_that_cannot_hold_the_longest_pair_is_refused_before_training(toy, tmp_path):
    with pytest.raises(ConfigError, match=r"batch_tokens = 9, but the longest pair has \d\d tokens"):
        run(toy, tmp_path, changed(batch_tokens=9))
    assert not (tmp_path / "arm").exists()


def test_a_pair_beyond_the_models_context_is_left_out_by_name_or_cut_as_asked(toy, tmp_path, caplog):
    """The toy reads 512 tokens: a prompt of 600 letters is too long, a response of 600 always is."""

    def long(prompt: int, chosen: int) -> PreferencePair:
        return PreferencePair(Prompt((Message("user", "a" * prompt),)), "b" * chosen, "c")

    pairs = [*preferences(5), long(600, 9), long(9, 600)]
    config = changed(batch_tokens=600, epochs=1)
    result = run(toy, tmp_path, config, train=pairs)
    assert result.metrics["train/pairs"] == 5
    assert [(r.prompt_id, r.row, r.prompt, r.response) for r in result.refused] == [
        (pairs[5].prompt.id, 6, 603, 10),
        (pairs[6].prompt.id, 7, 12, 601),
    ]
    assert "2 of 7 training pairs are left out, longer than the model's context of 512" in caplog.text
    cut = run(toy, tmp_path, config.model_copy(update={"truncate": "prompt_start"}), train=pairs)
    assert (cut.metrics["train/pairs"], [r.row for r in cut.refused]) == (6, [7])
    with pytest.raises(DataError, match="no training pairs, all 1 are over-long.*train.truncate"):
        run(toy, tmp_path, config, train=pairs[5:6])
