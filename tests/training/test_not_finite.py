"""A training whose numbers are none ends with their place and cause, and nothing is kept as its result."""

import dataclasses

import pytest
import torch
from toy_damage import DAMAGED, damaged_arm, damaged_base, loud_base
from toy_training import changed, initialise_lora_b, preferences, run, token_pairs
from toys import Toy, byte_tokenizer, toy_model

from genarm.config import LoraConfig
from genarm.errors import AdapterError, ModelError, TrainingError
from genarm.models import ModelSource, resolve
from genarm.training.collate import collate
from genarm.training.diagnostics import kl_to_base
from genarm.training.evaluate import evaluate_arm
from genarm.training.logps import logits
from genarm.training.lora import add_lora
from genarm.training.trainer import ArmTrainer

pytestmark = [
    pytest.mark.usefixtures("cache"),
]


def toy_at(source: ModelSource) -> Toy:
    return Toy(source.path, toy_model(), byte_tokenizer())


def row_of(letter: str) -> int:
    (row,) = byte_tokenizer().convert_tokens_to_ids([letter])
    return row


def test_a_damaged_base_is_told_before_the_first_step(tmp_path):
    base = toy_at(damaged_base(tmp_path / "base"))
    with pytest.raises(
        ModelError, match=f"log-probabilities of Llama.* not numbers in float32: the weight {DAMAGED}"
    ):
        run(base, tmp_path)
    assert not (tmp_path / "arm").exists()


def test_a_base_too_wide_for_float16_is_told_before_the_first_step(tmp_path):
    base = toy_at(loud_base(tmp_path / "base"))
    with pytest.raises(
        ModelError, match="not numbers in float16: .*hint: set base.dtype to bfloat16 or float32"
    ):
        run(base, tmp_path, dtype="float16")


def test_a_damaged_champion_is_not_trained_on(toy, tmp_path):
    source = resolve(str(toy.folder))
    start = damaged_arm(tmp_path / "start", source)
    config = changed(lora=LoraConfig(layers="all", rank=4, alpha=6))
    with pytest.raises(AdapterError, match="ARM 'toy': its weight .*lora_B.* no numbers"):
        run(toy, tmp_path, config, start=start)


@pytest.mark.parametrize("split", ["train", "validation"])
def test_one_damaged_token_is_told_with_step_pair_and_weight(tmp_path, split):
    """The trial reads two short pairs; the damage is in the one token that another pair holds."""
    base = toy_at(damaged_base(tmp_path / "base", "model.embed_tokens.weight", row_of("Z")))
    pairs = preferences(9, seed=3)
    pairs[4] = dataclasses.replace(pairs[4], chosen="Z" + pairs[4].chosen)
    with pytest.raises(
        TrainingError, match="is not finite at step [0-9]+, on the prompts .* in float32"
    ) as error:
        run(base, tmp_path, **{split: pairs})
    assert pairs[4].prompt.id in error.value.message
    assert (
        "the base's weight model.embed_tokens.weight holds values that are no numbers" in error.value.message
    )
    assert ("at step 0," in error.value.message) == (split == "validation")
    assert error.value.hint == "the base model is damaged: fetch or convert it again"
    assert not (tmp_path / "arm").exists()


def test_weights_that_the_last_step_ruined_are_not_saved(toy, tmp_path, monkeypatch):
    """No loss comes after it that would tell."""
    evaluate = ArmTrainer.evaluate

    def ruined(self, *arguments, **more):
        if self.state.global_step == self.state.max_steps:
            next(p for p in self.adapted.parameters() if p.requires_grad).data.fill_(torch.inf)
        return evaluate(self, *arguments, **more)

    monkeypatch.setattr(ArmTrainer, "evaluate", ruined)
    with pytest.raises(
        TrainingError, match="evaluation's .* is not finite at step [0-9]+.*the trained weight"
    ):
        run(toy, tmp_path)
    assert not (tmp_path / "arm").exists()


def test_accuracy_of_a_damaged_arm_or_base_is_an_error(toy, tmp_path):
    source, pairs = resolve(str(toy.folder)), preferences(4)
    arm = damaged_arm(tmp_path / "arm", source)
    with pytest.raises(AdapterError, match="ARM 'toy': its weight .*lora_B.* no numbers"):
        evaluate_arm(source, arm, pairs, dtype="float32")
    base = damaged_base(tmp_path / "base", "model.embed_tokens.weight", row_of("Z"))
    run(toy_at(base), tmp_path)
    assert evaluate_arm(base, tmp_path / "arm", pairs, dtype="float32")["n"] == 4
    pairs.insert(2, dataclasses.replace(pairs[2], chosen="Z" + pairs[2].chosen))
    with pytest.raises(
        ModelError, match="scores of 1 of 5 pairs, first on the prompt .* not numbers in float32"
    ) as e:
        evaluate_arm(base, tmp_path / "arm", pairs, dtype="float32")
    assert pairs[2].prompt.id in e.value.message and "the weight " in e.value.message


def test_a_token_that_an_arm_rules_out_has_no_part_in_the_distance(toy, monkeypatch):
    """-inf is the log-probability of nothing, and 0 * -inf would be no number."""
    pairs = token_pairs()
    adapted = add_lora(toy_model(), LoraConfig(layers=1, rank=2)).eval()
    initialise_lora_b(adapted)

    def ruling_out(model, batch, states):
        out = logits(model, batch, states)
        return out.index_fill(-1, torch.tensor([7]), -torch.inf)

    with torch.no_grad():
        plain = kl_to_base(adapted, collate(pairs))
        monkeypatch.setattr("genarm.training.diagnostics.logits", ruling_out)
        without = kl_to_base(adapted, collate(pairs))
    assert plain.isfinite().all() and without.isfinite().all()
