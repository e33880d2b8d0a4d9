"""The weights that are hashed are those that are loaded, and all of them."""

import os
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from toy_arms import family_model
from toys import byte_tokenizer, reconfigure, toy_model

from genarm.errors import ModelError
from genarm.models import load_model, resolve, weights_hash
from genarm.models.weights import weight_files

SHARDED = "model.safetensors.index.json"
FAMILIES = {
    "llama": {},
    "mistral": {"sliding_window": 6},
    "qwen2": {"tie_word_embeddings": True},
    "qwen3": {},
    "gemma2": {"head_dim": 8},
    "gemma3_text": {"head_dim": 8},
    "gpt2": {},
    "bloom": {},
    "phi3": {},
    "mixtral": {},
}


@pytest.fixture
def folder(toy, tmp_path):
    """A copy of the toy base."""
    return shutil.copytree(toy.folder, tmp_path / "m")


@pytest.fixture
def shards(toy, tmp_path):
    """The toy base in several files with an index."""
    toy.model.save_pretrained(tmp_path / "s", max_shard_size="20KB")
    toy.tokenizer.save_pretrained(tmp_path / "s")
    return tmp_path / "s"


def rewrite(file, change):
    """Change the tensors of a safetensors file."""
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file, metadata={"format": "pt"})


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_as_it_was_saved_is_whole(family, tied, tmp_path):
    settings = {"tie_word_embeddings": tied, **FAMILIES[family]}
    made = family_model(family, tmp_path, byte_tokenizer(), **settings)
    loaded = load_model(resolve(str(tmp_path)), "float32")
    ids = torch.tensor([[1, 2, 3]])
    assert torch.equal(made(ids).logits, loaded(ids).logits)


def test_shards_are_whole_and_hashed_together(shards, toy):
    assert len(weight_files(shards)) > 2
    source = resolve(str(shards))
    assert source.weights_sha256 == weights_hash(shards) != weights_hash(toy.folder)
    ids = torch.tensor([[1, 2, 3]])
    assert torch.equal(load_model(source, "float32")(ids).logits, toy.model(ids).logits)


def test_buffers_that_earlier_versions_saved_do_no_harm(folder):
    def old(tensors):
        tensors["model.rotary_emb.inv_freq"] = torch.ones(4)
        tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(4)

    rewrite(folder / "model.safetensors", old)
    load_model(resolve(str(folder)), "float32")


def test_pickled_weights_beside_another_safetensors_file_are_refused(folder):
    """transformers alone would load the pickle, while the hash covered the other file."""
    torch.save(toy_model(seed=9).state_dict(), folder / "pytorch_model.bin")
    (folder / "model.safetensors").rename(folder / "adapter.safetensors")
    with pytest.raises(
        ModelError, match=r"neither model.safetensors nor .*only adapter.safetensors.*pickled"
    ):
        resolve(str(folder))


def test_pickled_weights_beside_the_usual_file_are_left_alone(folder, toy):
    torch.save(toy_model(seed=9).state_dict(), folder / "pytorch_model.bin")
    ids = torch.tensor([[1, 2, 3]])
    loaded = load_model(resolve(str(folder)), "float32")
    assert torch.equal(loaded(ids).logits, toy.model(ids).logits)


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (lambda f, files: files[1].unlink(), "names model-00002-of-.*which is not there"),
        (lambda f, files: shutil.copy(files[0], f / "model-00009-of-00009.safetensors"), "does not name"),
        (lambda f, files: shutil.copy(files[0], files[1]), "both model-00001-of-.* and model-00002-of-"),
        (lambda f, files: rewrite(files[1], lambda t: t.pop(sorted(t)[0])), "no file holds it"),
        (
            lambda f, files: (f / SHARDED).write_text('{"weight_map": {"a": "../x.safetensors"}}'),
            "no file of",
        ),
        (lambda f, files: (f / SHARDED).write_text('{"weight_map": '), "index.json cannot be read.*line 1"),
        (lambda f, files: (f / SHARDED).write_text("[]"), "index.json holds a list"),
        (lambda f, files: (f / SHARDED).write_text("{}"), "has no weight_map"),
        (lambda f, files: os.truncate(files[2], 100), "model-00003-of-.* is cut short"),
        (lambda f, files: shutil.copy(files[0], f / "model.safetensors"), "which names other files"),
        (lambda f, files: files[0].rename(f / "shard-00001-model-00001-of-00001.safetensors"), "a part of"),
    ],
)
def test_an_index_and_files_that_disagree_are_refused_before_loading(harm, told, shards):
    harm(shards, weight_files(shards))
    with pytest.raises(ModelError, match=told) as caught:
        resolve(str(shards))
    assert str(shards) in caught.value.message and caught.value.hint


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"num_hidden_layers": 6}, r"asks for 18 tensors that the weights lack.*layers\.4"),
        ({"num_hidden_layers": 3}, r"holds 9 tensors that its LlamaForCausalLM does not have.*layers\.3"),
        (
            {"vocab_size": 300},
            r"'model.embed_tokens.weight' of shape \[300, 32\], the weights hold \[264, 32\]",
        ),
        ({"tie_word_embeddings": False}, r"1 tensor that the weights lack, the first is 'lm_head.weight'"),
        ({"model_type": "qwen2", "attention_bias": True}, r"12 tensors.*self_attn\..*bias"),
    ],
)
def test_a_configuration_of_another_model_is_refused(changes, told, folder, caplog):
    reconfigure(folder, **changes)
    with pytest.raises(ModelError, match=told):
        load_model(resolve(str(folder)), "float32")
    assert "LOAD REPORT" not in caplog.text


def test_weights_that_hold_more_than_the_model_are_refused(folder):
    """Such as a reward model's head: its folder is no language model's."""
    rewrite(folder / "model.safetensors", lambda t: t.update({"score.weight": torch.ones(1, 32)}))
    with pytest.raises(ModelError, match=r"1 tensor that its LlamaForCausalLM does not have.*score.weight"):
        load_model(resolve(str(folder)), "float32")


def test_an_adapter_inside_a_model_folder_is_refused(folder):
    """transformers would put it into the model, and load the model that it names where it can."""
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "somebody/else"}')
    with pytest.raises(ModelError, match="a model and adapter_config.json"):
        resolve(str(folder))


def test_a_byte_changed_in_place_is_found_by_content(folder):
    """Size and time are as before, as after a disk's fault; the note that trusted them is corrected."""
    before, file = weights_hash(folder), folder / "model.safetensors"
    times, content = file.stat(), bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert weights_hash(folder) == before
    found = weights_hash(folder, by_content=True)
    assert found != before
    assert weights_hash(folder) == found
