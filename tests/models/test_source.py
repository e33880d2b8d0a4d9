"""Names become folders, hashes and clear errors."""

import json
import shutil

import pytest
from toys import byte_tokenizer, toy_model

from genarm.errors import ModelError, Unreachable
from genarm.models import EMBEDDED, load_tokenizer, model_kind, resolve
from genarm.models.chat_template import end_tokens


def test_a_folder_resolves_to_stable_hashes_and_another_model_to_others(toy, tmp_path):
    first, again = resolve(str(toy.folder)), resolve(str(toy.folder))
    assert first == again
    toy_model(seed=1).save_pretrained(tmp_path)
    toy.tokenizer.save_pretrained(tmp_path)
    other = resolve(str(tmp_path))
    assert other.weights_sha256 != first.weights_sha256
    assert other.tokenizer_sha256 == first.tokenizer_sha256


def test_a_missing_chat_template_is_named(toy, tmp_path):
    folder = tmp_path / "m"
    shutil.copytree(toy.folder, folder)
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(ModelError, match="no chat template.*chat_template.jinja"):
        load_tokenizer(resolve(str(folder)))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (EMBEDDED, "embedded"),
        ("models/m.gguf", "gguf"),
        ("{folder}", "folder"),
        ("owner/name", "hub"),
        ("just-a-word", None),
        ("./owner/name", None),
        ("/owner/name", None),
        ("a/b/c", None),
    ],
)
def test_a_name_tells_what_kind_of_model_it_stands_for(name, kind, tmp_path):
    assert model_kind(name.format(folder=tmp_path)) == kind


@pytest.mark.parametrize("name", ["/no/such/folder", "nothing.gguf", "just-a-word"])
def test_a_name_that_leads_nowhere_says_what_would(name):
    with pytest.raises(ModelError, match="hint: "):
        resolve(name)


def test_pickled_weights_are_refused(toy, tmp_path):
    folder = tmp_path / "m"
    shutil.copytree(toy.folder, folder)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match="no .safetensors"):
        resolve(str(folder))


def test_a_hub_id_without_a_hub_says_how_to_go_on(monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(Unreachable, match="local cache") as caught:
        resolve("nobody/nothing")
    assert caught.value.retryable


def save_tokenizer(folder, *words, special=False):
    tokenizer = byte_tokenizer()
    tokenizer.add_tokens(list(words), special_tokens=special)
    tokenizer.save_pretrained(folder)


def test_a_token_without_an_embedding_is_named(toy, tmp_path):
    shutil.copytree(toy.folder, tmp_path, dirs_exist_ok=True)
    words = [f"word{i}" for i in range(9)]
    save_tokenizer(tmp_path, *words)  # the model has rows for three of them
    with pytest.raises(ModelError, match="token 'word3' with id 264, and the model embeds 264 tokens"):
        load_tokenizer(resolve(str(tmp_path)))
    save_tokenizer(tmp_path, *words, special=True)  # as padding tokens are
    assert len(load_tokenizer(resolve(str(tmp_path)))) == 270


def test_a_chat_template_that_is_no_text_is_named(toy, tmp_path):
    shutil.copytree(toy.folder, tmp_path, dirs_exist_ok=True)
    (tmp_path / "chat_template.jinja").unlink(missing_ok=True)
    file = tmp_path / "tokenizer_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"chat_template": 5}))
    with pytest.raises(ModelError, match="tokenizer_config.json: chat_template is no text but 5"):
        load_tokenizer(resolve(str(tmp_path)))


def test_an_end_token_that_is_no_id_is_named(toy):
    model = toy_model()
    model.generation_config.eos_token_id = ["</s>"]
    with pytest.raises(ModelError, match="eos_token_id '</s>' is no token id"):
        end_tokens(toy.tokenizer, model)
