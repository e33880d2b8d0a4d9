"""A trunk is whole when it is there, and a pass leaves nothing behind in the model that it shares."""

import copy
import subprocess
import sys
from dataclasses import FrozenInstanceError

import pytest
import torch
from toy_arms import LINEAR, family_model, make_arm, mixed_requests
from toys import toy_model

from genarm.decoding import load_decoder
from genarm.decoding.runner import attention
from genarm.decoding.runner.build_trunk import build_trunk, find_forward, model_logits
from genarm.decoding.runner.forward import LayerwiseForward, WholeForward
from genarm.decoding.runner.lora_rows import install
from genarm.errors import ModelError
from genarm.models import resolve

torch.set_num_threads(1)
IDS = torch.tensor([[1, 2, 3], [4, 5, 6]])


@torch.no_grad()
def direct_logits(model):
    return model(input_ids=IDS.to(model.device), use_cache=False).logits.cpu()


@pytest.fixture
def decoder(toy, tmp_path):
    source = resolve(str(toy.folder))
    folder = make_arm(tmp_path / "arm", source, toy.model, seed=3, target_modules=LINEAR)
    return load_decoder(source, {"arm": folder}, dtype="float32", batch_size=3)


def test_after_guided_tokens_the_model_is_the_bare_base_again(toy, decoder):
    decoder.generate(mixed_requests([{"arm": 0.7}]))
    torch.testing.assert_close(direct_logits(decoder.parts[0].trunk.model), direct_logits(toy.model))


def test_a_pass_that_fails_half_way_leaves_the_model_bare(toy, decoder, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("half-way")

    trunk = decoder.parts[0].trunk
    with monkeypatch.context() as patched:
        patched.setattr(trunk.forward_pass.layers[2].mlp, "forward", fail)
        with pytest.raises(RuntimeError, match="half-way"):
            decoder.generate(mixed_requests([{"arm": 0.7}]))
    torch.testing.assert_close(direct_logits(trunk.model), direct_logits(toy.model))


def test_a_trunk_does_not_change(decoder):
    with pytest.raises(FrozenInstanceError):
        decoder.parts[0].trunk.forward_pass = None


def test_the_forward_pass_that_is_found_is_returned_and_knows_whether_it_needs_a_mask(toy, tmp_path):
    model = copy.deepcopy(toy.model)
    found = find_forward(model, install(model, [], model.dtype), model_logits(model))
    assert isinstance(found, LayerwiseForward) and not found.needs_mask
    other = family_model("gpt_neox", tmp_path, toy.tokenizer)
    found = find_forward(other, install(other, [], other.dtype), model_logits(other))
    assert isinstance(found, WholeForward) and found.needs_mask
    # Neither search has left a trace in the other, or in a trunk of the same model.
    assert not build_trunk(model, [], 264).forward_pass.needs_mask


def test_a_model_whose_logits_no_way_gives_is_refused_and_left_as_it_was():
    model = toy_model()
    before, expected = attention.selected(model), model_logits(model)
    with pytest.raises(ModelError, match="its logits would be off"):
        find_forward(model, install(model, [], model.dtype), expected + 1)
    assert attention.selected(model) == before


def test_attention_is_registered_when_a_trunk_is_built_and_not_on_import():
    code = (
        "import genarm.decoding.engine.engine, genarm.decoding.runner.build_trunk\n"
        "from genarm.decoding.runner import attention\n"
        "from transformers import AttentionInterface\n"
        "before = set(AttentionInterface().valid_keys())\n"
        "attention.register()\n"
        "attention.register()\n"
        "assert set(AttentionInterface().valid_keys()) - before == {attention.NAME}"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
