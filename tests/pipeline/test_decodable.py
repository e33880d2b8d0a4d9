"""What could be trained and not decoded is refused by every command that comes before, with a way out."""

import shutil
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from toy_arms import family_model
from toys import byte_tokenizer, reconfigure
from typer.testing import CliRunner

from genarm.cli.main import app
from genarm.config.load import check_params
from genarm.doctor.base_model import base_model
from genarm.errors import AdapterError, ConfigError, GenarmError, ModelError
from genarm.models import resolve
from genarm.pipeline.decodable import check_decodable

ROOT = Path(__file__).parents[2]
FAN_IN = "positive: a LoRA on '.*gpt2' sets fan_in_fan_out=True, which decoding does not support"
CACHE = "model '.*bloom': BloomForCausalLM cannot be decoded with a cache .*too many values"


def values(base: str, **train: object) -> dict:
    """The parameters of the repository with another base model and settings of training."""
    read = YAML(typ="safe").load((ROOT / "params.yaml").read_text())
    read["base"] = {"model": base, "dtype": "float32"}
    for dimension in read["dimensions"].values():
        dimension["train"] = train
    return read


@pytest.fixture(params=["gpt2", "bloom"])
def refused(request, tmp_path, monkeypatch):
    """A project whose base cannot be used to the end, and what is told of it."""
    family_model(request.param, tmp_path / request.param, byte_tokenizer())
    with (tmp_path / "params.yaml").open("w") as file:
        YAML().dump(values(str(tmp_path / request.param)), file)
    monkeypatch.chdir(tmp_path)
    return tmp_path, {"gpt2": FAN_IN, "bloom": CACHE}[request.param]


@pytest.mark.parametrize("command", [["pairs", "positive"], ["train", "positive"]])
def test_a_command_refuses_it_before_it_reads_any_data(command, refused):
    folder, told = refused
    result = CliRunner().invoke(app, command)
    assert isinstance(result.exception, GenarmError)
    with pytest.raises(GenarmError, match=told):
        raise result.exception
    assert result.exception.hint and not (folder / "artifacts").exists()


def test_the_doctor_tells_it(refused):
    folder, told = refused
    (found,) = base_model(folder)
    assert found.status == "fail" and found.fix
    with pytest.raises(GenarmError, match=told):
        raise GenarmError(found.detail)


def test_the_same_model_passes_where_all_its_weights_are_trained(tmp_path):
    family_model("gpt2", tmp_path, byte_tokenizer())
    source = resolve(str(tmp_path))
    full = check_params(values(str(tmp_path), method="full"), "params.yaml")
    check_decodable(full, source)
    with pytest.raises(AdapterError, match="method: full"):
        check_decodable(check_params(values(str(tmp_path)), "params.yaml"), source)


def test_layers_that_the_model_does_not_have_are_told_before_training(toy):
    layers = {"layers": 9, "rank": 2, "alpha": 4}
    wanted = values(str(toy.folder), lora=layers)
    with pytest.raises(ConfigError, match=r"lora.layers = 9, but the model has 4 layers"):
        check_decodable(check_params(wanted, "params.yaml"), resolve(str(toy.folder)))


def test_the_doctor_names_the_damaged_file_and_the_template(toy, tmp_path):
    folder = shutil.copytree(toy.folder, tmp_path / "m")
    for harm, told in (
        (
            lambda: (folder / "chat_template.jinja").write_text("{{ 'Hello' }}"),
            "chat_template.jinja is no chat",
        ),
        (lambda: reconfigure(folder, hidden_size="wide"), "config.json does not describe a llama"),
        (lambda: (folder / "model.safetensors").write_bytes(b"short"), "model.safetensors is cut short"),
    ):
        with (tmp_path / "params.yaml").open("w") as file:
            YAML().dump(values(str(folder), lora={"layers": 2, "rank": 2, "alpha": 4}), file)
        harm()
        (found,) = base_model(tmp_path)
        assert found.status == "fail" and told in found.detail and found.fix


def test_the_default_is_in_order():
    params = check_params(YAML(typ="safe").load((ROOT / "params.yaml").read_text()), "params.yaml")
    check_decodable(params, resolve(params.base.model))


def test_a_separate_model_is_examined_for_the_dimension_that_is_trained(toy, tmp_path):
    family_model("bloom", tmp_path, byte_tokenizer())
    wanted = values(str(toy.folder), model=str(tmp_path), lora={"layers": "all", "rank": 2, "alpha": 4})
    params = check_params(wanted, "params.yaml")
    check_decodable(params, resolve(str(toy.folder)))
    with pytest.raises(ModelError, match="Bloom"):
        check_decodable(params, resolve(str(toy.folder)), ["positive"])


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("stop", ["<|end|> "], "respond.sampling.stop: the stop string '<.end.> ' holds the special token"),
        ("max_new_tokens", 512, "max_new_tokens = 512 leaves no room for a prompt: .* is 512 tokens"),
    ],
)
def test_answers_that_could_not_be_drawn_are_told_before_training(toy, key, value, told):
    read = values(str(toy.folder))
    read["respond"]["sampling"][key] = value
    with pytest.raises(GenarmError, match=told):
        check_decodable(check_params(read, "params"), resolve(str(toy.folder)))


def test_an_answer_before_the_training_says_what_to_run(toy, tmp_path, monkeypatch):
    with (tmp_path / "params.yaml").open("w") as file:
        YAML().dump(values(str(toy.folder)), file)
    monkeypatch.chdir(tmp_path)
    told = CliRunner().invoke(app, ["respond", "challenger", "positive"]).exception
    assert isinstance(told, GenarmError) and told.message.startswith("no ARM at ")
    assert told.hint == "train it first: genarm train positive"
