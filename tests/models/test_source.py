"""Names become folders, hashes and clear errors."""

import shutil

import pytest

from genarm.errors import ModelError, Unreachable
from genarm.models import EMBEDDED, load_tokenizer, model_kind, resolve


def test_a_folder_resolves_to_stable_hashes_and_another_model_to_others(toy, tmp_path):
    from toys import toy_model

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
