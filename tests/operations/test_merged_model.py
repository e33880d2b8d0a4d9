"""Merging is exact to first order in the LoRA's change: the KL to the guided policy falls with its square."""

import copy

import pytest
import torch
from peft import LoraConfig, get_peft_model
from toys import toy_model

from genarm.operations.merged_model import merge, scale_of, temperature_of

PROMPTS = [[1, 2, 3], list(range(40, 60))]


def lora(folder, model, size):
    """A LoRA whose change of the weights is `size` times the same random one."""
    peft = get_peft_model(copy.deepcopy(model), LoraConfig(r=4, target_modules="all-linear"))
    torch.manual_seed(3)
    for name, parameter in peft.named_parameters():
        if "lora_" in name:
            parameter.data.normal_(0, 0.05).mul_(size if "lora_B" in name else 1.0)
    peft.save_pretrained(folder)
    return folder


@pytest.mark.parametrize(("guidance", "weight"), [("sum", 0.3), ("sum", 2.0), ("contrast", 0.4)])
def test_the_loss_falls_much_faster_than_what_guidance_does(tmp_path, guidance, weight):
    model = toy_model().double()
    losses = []
    for size in (0.1, 0.025):
        folder = lora(tmp_path / str(size), model, size)
        _, loss = merge(copy.deepcopy(model), folder, weight, prompts=PROMPTS, vocab=261, guidance=guidance)
        losses.append(loss)
    assert all(0 < loss.merged < loss.sharpened <= loss.base for loss in losses)
    assert all((loss.sharpened == loss.base) == (guidance == "contrast") for loss in losses)
    # Of log-probabilities that differ by O(D^2) the KL is O(D^4): a quarter of D gives about 4^-4 of it.
    assert 4**3 < losses[0].merged / losses[-1].merged < 4**5


def test_without_the_change_the_model_at_that_temperature_is_the_guided_policy(tmp_path):
    model = toy_model().double()
    _, loss = merge(copy.deepcopy(model), lora(tmp_path, model, 0.0), 0.7, prompts=PROMPTS, vocab=261)
    assert loss.merged == loss.sharpened < 1e-9 < loss.base, (
        "an ARM equal to the base sharpens, and so does the temperature"
    )
    assert (loss.prompts, scale_of(1.0), temperature_of(1.0, 0.8)) == (2, 0.5, 0.4)


def test_what_is_merged_is_the_scaled_change(tmp_path):
    from peft import PeftModel

    model = toy_model()
    folder = lora(tmp_path, model, 1.0)
    merged, loss = merge(copy.deepcopy(model), folder, 3.0, prompts=PROMPTS, vocab=261, temperature=0.0)
    arm = PeftModel.from_pretrained(copy.deepcopy(model), folder).merge_and_unload()
    name = "model.layers.1.mlp.down_proj.weight"
    before, full, now = (m.get_parameter(name).detach() for m in (model, arm, merged))
    torch.testing.assert_close(now - before, 0.75 * (full - before), rtol=1e-4, atol=1e-6)
    assert not any("lora" in name for name, _ in merged.named_parameters()) and loss.tokens > 2


def test_under_contrast_the_whole_change_is_the_guided_policy(tmp_path):
    """At weight 1 nothing is lost, and at no weight is the temperature another one."""
    model = toy_model().double()
    folder = lora(tmp_path, model, 1.0)
    _, loss = merge(copy.deepcopy(model), folder, 1.0, prompts=PROMPTS, vocab=261, guidance="contrast")
    assert loss.merged < 1e-9 < 0.1 < loss.base == loss.sharpened
    assert (scale_of(0.4, "contrast"), temperature_of(0.4, 0.8, "contrast")) == (0.4, 0.8)
