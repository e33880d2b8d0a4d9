"""`genarm export`: what is written loads elsewhere and is what it says; the rest is refused at once."""

import dataclasses
import json
import sys

import pytest
import torch
import transformers
from peft import PeftModel
from toy_arms import card, make_arm, other_model
from toy_params import dimension

from genarm import registry
from genarm.cli import main as cli
from genarm.errors import AdapterError, ConfigError, RegistryError
from genarm.models import load_tokenizer, resolve
from genarm.models.arm import read_card, write_card
from genarm.operations.export import export
from genarm.pipeline.project import Project
from genarm.system.files import write_json
from genarm.types import Decision


@pytest.fixture(scope="module")
def made(toy, tmp_path_factory):
    """A project whose dimension `kind` has a champion; `calm` has a model of its own."""
    root = tmp_path_factory.mktemp("export")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{root}/mlflow.db")
        base = {"model": str(toy.folder), "dtype": "float32"}
        write_json(
            root / "params.yaml",
            {
                "base": base,
                "dimensions": {n: dimension() for n in ("kind", "calm", "new")},
                "respond": {"sampling": {"temperature": 1.0}},
            },
        )
        project, source = Project(root), resolve(str(toy.folder))
        quiet = {"lora_alpha": 1, "target_modules": ["q_proj", "down_proj"], "layers_to_transform": [3]}
        lora = make_arm(root / "arms" / "kind", source, toy.model, seed=1, **quiet)
        write_card(lora, dataclasses.replace(card(source), dimension="kind", weight=0.5, data_md5="d" * 32))
        other_model(toy, root / "arms" / "calm")
        write_card(root / "arms" / "calm", dataclasses.replace(card(source), dimension="calm"))
        store = registry.connect(root)
        for name in ("kind", "calm"):
            store.register(name, root / "arms" / name, metrics={})
            sha = read_card(root / "arms" / name).adapter_sha256
            decided = Decision(name, "promote", ["better"], sha, None)
            store.promote(name, decided, smoke_test=lambda _: None, actor="test")
        yield project


@pytest.fixture
def project(made, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{made.root}/mlflow.db")
    monkeypatch.chdir(made.root)
    return made


def logits(model, ids):
    with torch.inference_mode():
        return model(input_ids=torch.tensor([ids])).logits.float()


def test_the_plain_folder_is_the_arm(project, toy, tmp_path):
    made = export(project, "kind", form="peft", to=tmp_path / "plain", weight=0.7)
    assert read_card(made.folder).weight == made.weight == 0.7
    ids = list(range(20))
    ours, theirs = (
        PeftModel.from_pretrained(transformers.AutoModelForCausalLM.from_pretrained(toy.folder), f)
        for f in (made.folder, project.root / "arms" / "kind")
    )
    torch.testing.assert_close(logits(ours, ids), logits(theirs, ids), rtol=0, atol=0)
    assert "weight 0.7" in (made.folder / "README.md").read_text()


def test_the_merged_folder_loads_and_loses_what_its_page_says(project, toy, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["genarm", "export", "kind", "--form", "gguf-ready", "--json"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    said = json.loads(capsys.readouterr().out)
    folder = project.layout.artifacts / "exports" / "kind-1-gguf-ready"
    assert end.value.code == 0 and said["folder"] == str(folder) and said["weight"] == 0.5
    assert 0 < said["loss"]["merged"] < said["loss"]["base"]
    model = transformers.AutoModelForCausalLM.from_pretrained(folder)
    assert model.generation_config.temperature == pytest.approx(1 / 1.5) == said["temperature"]
    base = transformers.AutoModelForCausalLM.from_pretrained(toy.folder)
    arm = PeftModel.from_pretrained(base, project.root / "arms" / "kind")
    ids = list(range(30))
    with arm.disable_adapter():
        alone = logits(arm, ids).log_softmax(-1)
    guided = (alone + 0.5 * logits(arm, ids).log_softmax(-1)).log_softmax(-1)
    near = (1.5 * logits(model, ids)).log_softmax(-1)
    far = float((guided.exp() * (guided - alone)).sum(-1).mean())
    assert float((guided.exp() * (guided - near)).sum(-1).mean()) < far
    page = (folder / "README.md").read_text()
    for told in (f"= {said['loss']['merged']:.2g} nats", "convert_hf_to_gguf.py kind-1-gguf-ready", "d" * 32):
        assert told in page


def test_other_programs_read_tokenizer_template_and_configuration(project, toy, tmp_path):
    """Under the names of transformers 4 too, which llama.cpp knows; its own reader finds the template."""
    from gguf import SpecialVocab

    folder = export(project, "kind", form="gguf-ready", to=tmp_path / "model").folder
    config = json.loads((folder / "config.json").read_text())
    assert config["rope_theta"] == config["rope_parameters"]["rope_theta"]
    assert config["torch_dtype"] == "float32"
    assert "Backend" not in json.loads((folder / "tokenizer_config.json").read_text())["tokenizer_class"]
    written, ours = load_tokenizer(resolve(str(folder))), load_tokenizer(resolve(str(toy.folder)))
    assert resolve(str(folder)).tokenizer_sha256 == resolve(str(toy.folder)).tokenizer_sha256
    talk = [{"role": "user", "content": "hello <|end|> é"}]
    assert written.apply_chat_template(talk) == ours.apply_chat_template(talk)
    assert SpecialVocab(folder).chat_template == ours.chat_template
    assert 256 in transformers.GenerationConfig.from_pretrained(folder).eos_token_id


@pytest.mark.parametrize(
    ("asked", "error", "message"),
    [
        (("knd", {}), ConfigError, "did you mean 'kind'"),
        (("kind", {"weight": 0.0}), ConfigError, "weight is 0.0"),
        (("kind", {"version": "7"}), RegistryError, "no version '7'"),
        (("new", {}), RegistryError, "new has no champion yet; hint: genarm export new --version challenger"),
        (("calm", {}), AdapterError, "'calm' is a model of its own: two models cannot be merged"),
        (("calm", {"form": "peft"}), AdapterError, "is no PEFT folder"),
    ],
)
def test_what_cannot_be_exported_is_refused(project, tmp_path, asked, error, message):
    with pytest.raises(error, match=message):
        export(project, asked[0], to=tmp_path / "out", **asked[1])
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_holds_something_is_not_touched(project, tmp_path):
    (tmp_path / "mine").write_text("a year's work")
    for form in ("merged", "peft"):
        with pytest.raises(ConfigError, match="not empty; hint: name another folder: --to FOLDER"):
            export(project, "kind", form=form, to=tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["mine"]


def test_a_lora_on_another_model_than_the_base_is_not_merged(project, monkeypatch, tmp_path):
    monkeypatch.setattr(
        "genarm.operations.export.read_card",
        lambda folder: dataclasses.replace(read_card(folder), guides_id="larger"),
    )
    with pytest.raises(AdapterError, match="guides larger: .*genarm export kind --form peft"):
        export(project, "kind", to=tmp_path / "out")
