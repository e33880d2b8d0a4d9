"""Scores that are no numbers are told as that, with the precision or the damaged weight, of base and ARMs."""

import pytest
import torch
from toy_arms import make_arm
from toy_damage import DAMAGED, damaged_arm, damaged_base, loud_base, saved
from toys import toy_model

from genarm.decoding import GuidedRequest, load_decoder
from genarm.errors import AdapterError, ModelError
from genarm.models import resolve

torch.set_num_threads(1)


def test_a_damaged_base_is_told_at_load_with_its_weight(tmp_path):
    source = damaged_base(tmp_path / "base")
    with pytest.raises(
        ModelError, match=f"logits of Llama.* are not numbers in float32: the weight {DAMAGED} of"
    ) as e:
        load_decoder(source, {}, dtype="float32")
    assert e.value.hint == "the model is damaged: fetch or convert it again"
    with pytest.raises(ModelError, match="its weight base_model.*lora_B.*") as e:
        load_decoder(source, {"toy": damaged_arm(tmp_path / "arm", source)}, dtype="float32")


def test_a_base_too_wide_for_float16_is_told_with_the_way_out(tmp_path):
    source = loud_base(tmp_path / "base")
    with pytest.raises(
        ModelError, match="are not numbers in float16: the weights of .*sound, and float16"
    ) as e:
        load_decoder(source, {}, dtype="float16")
    assert e.value.hint == "set base.dtype to bfloat16 or float32"
    (answer,) = load_decoder(source, {}, dtype="float32").generate([GuidedRequest((1, 2), max_new_tokens=4)])
    assert answer.tokens


def test_a_weight_too_large_for_float16_is_no_damage(tmp_path):
    model = toy_model()
    model.model.norm.weight.data[3] = 1e6
    with pytest.raises(ModelError, match="in float16: the weight model.norm.weight of .*, 65504") as e:
        load_decoder(saved(model, tmp_path / "base"), {}, dtype="float16")
    assert e.value.hint.startswith("set base.dtype to bfloat16 or float32; if it is infinite there too")


def test_a_damaged_arm_is_told_at_load(toy, tmp_path):
    source = resolve(str(toy.folder))
    arm = damaged_arm(tmp_path / "arm", source)
    for strategy in ("shared", "separate"):
        with pytest.raises(AdapterError, match="ARM 'toy': its weight .*lora_B.* no numbers") as error:
            load_decoder(source, {"toy": arm}, dtype="float32", strategy=strategy)
        assert error.value.hint.startswith("train it again")
    whole = damaged_base(tmp_path / "whole").path
    with pytest.raises(ModelError, match=f"the weight {DAMAGED} of .*whole"):
        load_decoder(source, {"toy": whole}, dtype="float32")


@pytest.mark.parametrize("where", ["base", "arm"])
def test_what_the_trial_does_not_read_is_told_while_decoding(toy, tmp_path, where):
    """One token's embedding is damaged, and a request reads it."""
    damaged = damaged_base(tmp_path / "damaged", "model.embed_tokens.weight", row=77)
    sound = saved(toy_model(tie_word_embeddings=False), tmp_path / "sound")
    source, arm = (damaged, sound) if where == "base" else (sound, damaged)
    decoder = load_decoder(source, {"whole": arm.path}, dtype="float32", strategy="separate")
    bad, good = (GuidedRequest(prompt, {"whole": 0.5}, max_new_tokens=4) for prompt in ((1, 77), (1, 2)))
    session = decoder.session()
    failed, answered = session.submit(bad), session.submit(good)
    assert answered.response().tokens
    of = "the base" if where == "base" else "ARM whole"
    with pytest.raises(
        ModelError, match=f"request 0: .*logits of {of} are not numbers in float32: the weight"
    ) as e:
        failed.response()
    assert f"model.embed_tokens.weight of {tmp_path / 'damaged'} holds" in e.value.message
    assert e.value.hint == "the model is damaged: fetch or convert it again"


def test_an_adapter_that_overflows_names_itself(tmp_path, toy):
    """Its weights are numbers, and what they compute is none."""
    source = resolve(str(toy.folder))
    arm = make_arm(tmp_path / "arm", source, toy.model, seed=1, lora_alpha=6e37)
    decoder = load_decoder(source, {"loud": arm}, dtype="float32")
    with pytest.raises(ModelError, match="request 0: .*the logits of ARM loud are not numbers in float32"):
        decoder.generate([GuidedRequest((1, 2), {"loud": 1.0}, max_new_tokens=4)])
    assert decoder.generate([GuidedRequest((1, 2), {"loud": 0.0}, max_new_tokens=4)])[0].tokens
