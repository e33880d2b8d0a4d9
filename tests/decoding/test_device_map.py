"""A base whose layers are on several devices is run whole, and its device map is kept."""

import functools

import pytest
from toy_arms import as_peft_loads_it, assert_equals_plain, make_arm, mixed_requests
from transformers import AutoModelForCausalLM

from genarm.decoding import load_decoder
from genarm.decoding.runner.forward import WholeForward
from genarm.models import resolve


@pytest.mark.parametrize("strategy", ["shared", "separate"])
def test_a_base_that_is_partly_on_disk_equals_the_plain_loop(toy, tmp_path, monkeypatch, strategy):
    source = resolve(str(toy.folder))
    folder = make_arm(tmp_path / "arm", source, toy.model, seed=3)
    places = {f"model.layers.{i}": "disk" if i % 2 else "cpu" for i in range(4)}
    rest = dict.fromkeys(("model.embed_tokens", "model.rotary_emb", "model.norm", "lm_head"), "cpu")
    load = functools.partial(AutoModelForCausalLM.from_pretrained, offload_folder=str(tmp_path / "away"))
    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", load)
    decoder = load_decoder(
        source, {"arm": folder}, dtype="float32", strategy=strategy, device_map={**places, **rest}
    )
    base = decoder.parts[0].trunk
    assert isinstance(base.forward_pass, WholeForward) and "disk" in base.model.hf_device_map.values()
    requests = mixed_requests([{"arm": 0.7}, {}])
    arm = {"arm": as_peft_loads_it(toy.model, folder)}
    assert_equals_plain(decoder.generate(requests), requests, toy.model, arm)
