"""A model folder whose small files are damaged: one line that names the file, and a way out."""

import json
import shutil

import pytest
from toys import reconfigure

from genarm.errors import GenarmError, ModelError
from genarm.models import resolve
from genarm.models.arm import adapter_hash
from genarm.models.gguf import convert, embedded_file

JSON = ("config.json", "generation_config.json", "tokenizer_config.json", "tokenizer.json")
OWN_CODE = {"AutoConfig": "configuration_own.OwnConfig", "AutoModelForCausalLM": "modeling_own.OwnModel"}


@pytest.fixture
def folder(toy, tmp_path):
    """A copy of the toy base."""
    return shutil.copytree(toy.folder, tmp_path / "m")


def refused(call, *arguments) -> GenarmError:
    """The error of a call, after checking that it is one line with a way out."""
    with pytest.raises(GenarmError) as caught:
        call(*arguments)
    assert "\n" not in str(caught.value) and caught.value.hint
    return caught.value


@pytest.mark.parametrize("content", [b"", b'{"a": ', b'{"a": "\xff"}', b"[]", b"[" * 100_000])
@pytest.mark.parametrize("name", JSON)
def test_a_file_that_is_no_mapping_is_named(name, content, folder):
    (folder / name).write_bytes(content)
    error = refused(resolve, str(folder))
    assert name in error.message and str(folder) in error.message


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"hidden_size": "wide"}, "hidden_size"),
        ({"num_attention_heads": 0}, "ZeroDivisionError"),
        ({"model_type": "llamma"}, "no model_type 'llamma'"),
        ({"model_type": ["llama"]}, "no model_type"),
        ({"model_type": None}, "no model_type None"),
    ],
)
def test_a_configuration_with_a_wrong_value_is_named(changes, told, folder):
    reconfigure(folder, **changes)
    error = refused(resolve, str(folder))
    assert told in error.message and str(folder / "config.json") in error.message


def test_a_model_that_wants_code_of_its_own_is_refused_and_runs_none(folder, tmp_path):
    (folder / "configuration_own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    reconfigure(folder, model_type="own", auto_map=OWN_CODE)
    assert "code of its own (auto_map)" in refused(resolve, str(folder)).message
    assert not (tmp_path / "ran").exists()


def test_a_tokenizer_that_wants_code_of_its_own_is_refused_and_runs_none(folder, tmp_path):
    (folder / "tokenization_own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    file = folder / "tokenizer_config.json"
    own = {"tokenizer_class": "OwnTokenizer", "auto_map": {"AutoTokenizer": ["tokenization_own.Own", None]}}
    file.write_text(json.dumps(json.loads(file.read_text()) | own))
    assert "tokenizer_config.json" in refused(resolve, str(folder)).message
    assert not (tmp_path / "ran").exists()


def test_a_tokenizer_whose_parts_are_of_no_known_kind_is_named(folder):
    file = folder / "tokenizer.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"model": {"type": "Telepathy"}}))
    assert "tokenizer.json" in refused(resolve, str(folder)).message


@pytest.mark.parametrize("size", [0, 3, 1000, pytest.param(2_000_000, marks=pytest.mark.slow)])
def test_a_gguf_file_that_is_cut_short_is_named_and_leaves_nothing(size, tmp_path):
    with embedded_file().open("rb") as whole:
        (tmp_path / "m.gguf").write_bytes(whole.read(size))
    with pytest.raises(ModelError, match=r"cannot read .*m\.gguf.*hint: download the file again"):
        convert(tmp_path / "m.gguf", tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["m.gguf"]


@pytest.mark.parametrize("content", [b"", b"{", b'{"r": "\xff"}', b"[" * 100_000])
def test_a_damaged_adapter_configuration_is_named(content, tmp_path):
    (tmp_path / "adapter_config.json").write_bytes(content)
    (tmp_path / "adapter_model.safetensors").write_bytes(b"")
    assert "no full model: adapter_config.json: " in refused(adapter_hash, tmp_path).message
