"""Adapters that row products would serve wrongly, or that do not fit, are refused by name."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from toy_arms import card, make_arm, other_model

from genarm.decoding import load_decoder
from genarm.errors import AdapterError
from genarm.models import resolve
from genarm.models.arm import write_card


@pytest.fixture(scope="module")
def folder(toy, tmp_path_factory):
    return make_arm(tmp_path_factory.mktemp("arm") / "arm", resolve(str(toy.folder)), toy.model, seed=0)


def test_adapters_that_do_not_fit_or_were_altered_are_refused(toy, folder, tmp_path):
    source = resolve(str(toy.folder))
    other_model(toy, tmp_path / "other")
    with pytest.raises(AdapterError, match="adapts weights"):
        load_decoder(resolve(str(tmp_path / "other")), {"top": folder}, dtype="float32", strategy="shared")
    with pytest.raises(AdapterError, match="no PEFT folder"):
        load_decoder(source, {"m": tmp_path / "other"}, dtype="float32", strategy="shared")
    (tmp_path / "arm").mkdir()
    for file in folder.iterdir():
        (tmp_path / "arm" / file.name).write_bytes(file.read_bytes())
    weights = tmp_path / "arm" / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4] + b"oops")
    with pytest.raises(AdapterError, match="was altered"):
        load_decoder(source, {"arm": tmp_path / "arm"}, dtype="float32")
    config = tmp_path / "arm" / "adapter_config.json"
    for damage in (lambda: config.write_bytes(b"\xff\xfe"), config.unlink):
        damage()
        with pytest.raises(AdapterError, match="is no PEFT folder"):
            load_decoder(source, {"arm": tmp_path / "arm"}, dtype="float32")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"use_dora": True}, "use_dora=True"),
        ({"bias": "lora_only"}, "bias='lora_only'"),
        ({"modules_to_save": ["lm_head"]}, r"modules_to_save=\['lm_head'\]"),
        ({"fan_in_fan_out": True}, "fan_in_fan_out=True"),
        ({"init_lora_weights": "pissa"}, "init_lora_weights='pissa'"),
        ({"peft_type": "IA3"}, "peft_type='IA3'"),
    ],
)
def test_what_plain_row_products_would_get_wrong_is_refused(toy, folder, tmp_path, change, message):
    source = resolve(str(toy.folder))
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    (tmp_path / "adapter_config.json").write_text(json.dumps(config | change), encoding="utf-8")
    write_card(tmp_path, card(source))
    with pytest.raises(AdapterError, match=message):
        load_decoder(source, {"arm": tmp_path}, dtype="float32")


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("model.embed_tokens.lora_embedding_A", "no LoRA factor"),
        ("model.norm.lora_A.weight", "no linear module"),
    ],
)
def test_factors_of_what_is_no_linear_module_are_refused(toy, folder, tmp_path, key, message):
    source = resolve(str(toy.folder))
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    tensors = load_file(folder / "adapter_model.safetensors")
    tensors[f"base_model.model.{key}"] = torch.zeros(3, 32)
    tensors[f"base_model.model.{key}".replace("lora_A", "lora_B")] = torch.zeros(32, 3)
    save_file(tensors, tmp_path / "adapter_model.safetensors")
    write_card(tmp_path, card(source))
    with pytest.raises(AdapterError, match=message):
        load_decoder(source, {"arm": tmp_path}, dtype="float32")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda t, a: [t.pop(k) for k in (a, a.replace("lora_A", "lora_B"))],
            "lacks what .*1 module, the first",
        ),
        (
            lambda t, a: [
                t.update({k.replace("layers.3", "layers.0"): t[k].clone()})
                for k in (a, a.replace("lora_A", "lora_B"))
            ],
            "has more than .*'model.layers.0.",
        ),
    ],
)
def test_factors_other_than_those_of_its_configuration_are_refused(toy, tmp_path, change, message):
    """peft would start what is missing anew, and leave out what is too much."""
    source = resolve(str(toy.folder))
    adapted = {"layers_to_transform": [3], "target_modules": ["q_proj", "down_proj"]}
    folder = make_arm(tmp_path / "arm", source, toy.model, seed=0, **adapted)
    tensors = load_file(folder / "adapter_model.safetensors")
    change(tensors, min(tensors))
    save_file(
        {name: tensor.clone() for name, tensor in tensors.items()}, folder / "adapter_model.safetensors"
    )
    write_card(folder, card(source))
    with pytest.raises(AdapterError, match=message):
        load_decoder(source, {"arm": folder}, dtype="float32")
