"""The command that starts vLLM's server: what is served, and what is refused before anything starts."""

import itertools
import json
from dataclasses import replace
from pathlib import Path

import pytest
from cli_toys import PARAMS
from toy_arms import card, family_model, make_arm
from toys import toy_model

from genarm.config import LoraConfig, TrainConfig
from genarm.errors import AdapterError, ConfigError, ModelError
from genarm.models import resolve
from genarm.models.arm import adapter_hash, write_card
from genarm.pipeline.project import Project
from genarm.serve.lineup import ServedArm
from genarm.serve.vllm_body import SERVED, read_served
from genarm.serve.vllm_command import check_options, vllm_command
from genarm.serve.vllm_engine import serve_by_vllm
from genarm.types import Champion
from genarm.vllm.layout import read_layout

ADDRESS = {"host": "127.0.0.1", "port": 1, "pins": [], "slots": 1, "watch": 0, "max_body": 1024}


def served(folder, weight=0.8, guidance="contrast"):
    return ServedArm("kind", Champion(3, "m", adapter_hash(folder), weight, guidance))


def command(base, folders, *, trainings=None, **options):
    arms = {name: served(folder) for name, folder in folders.items()}
    trainings = trainings or {name: TrainConfig() for name in folders}
    settings = {"dtype": "float32", "host": "127.0.0.1", "port": 8000, "slots": 4}
    return vllm_command(Path("python"), base, arms, folders, trainings, **settings, **options)


def plugin_settings(words):
    return json.loads(words[words.index("--additional-config") + 1])["genarm"]


def test_base_and_versions_are_served_by_the_guided_model_of_the_family(toy, arms):
    sampling = {"temperature": 0.7, "top_p": 0.95, "top_k": 0}
    words, environment = command(
        resolve(str(toy.folder)), {"kind": arms["kind"]}, sampling=sampling, more=["--seed=1"]
    )
    said = dict(itertools.pairwise(words))
    assert said["--generation-config"] == "vllm"
    assert json.loads(said["--override-generation-config"]) == sampling
    assert said["--model"] == str(toy.folder.resolve())
    assert json.loads(said["--hf-overrides"]) == {"architectures": ["GuidedLlamaForCausalLM"]}
    genarm = {"arms": {"kind": str(arms["kind"].resolve())}, "tokens": 261}
    assert plugin_settings(words) == genarm | {"max_rank": 8, "first_layer": {"kind": 0}}
    names = words.index("--served-model-name")
    assert words[names + 1 : names + 4] == ["base", "guided", "guided:kind@3"]
    assert words[-1] == "--seed=1"
    assert read_served(environment[SERVED]).guide("guided", None).guidance == {"kind": "contrast"}


def test_room_is_left_for_the_next_versions_that_are_trained(toy, arms, tmp_path):
    """Of four layers the top one or all; and what the versions need that are served now."""
    source = resolve(str(toy.folder))
    folders = {name: make_arm(tmp_path / name, source, toy.model, seed=0, r=4) for name in ("kind", "curt")}
    top, wide = TrainConfig(lora=LoraConfig(layers=1)), TrainConfig(lora=LoraConfig(rank=16))
    words, _ = command(source, folders, trainings={"kind": top, "curt": wide, "unserved": wide})
    told = plugin_settings(words)
    assert told["max_rank"] == 16 and told["first_layer"] == {"kind": 3, "curt": 0}
    layout = read_layout({"genarm": told})
    assert {arm.name: arm.first_layer for arm in layout.arms} == {"kind": 0, "curt": 0}, "what is served fits"
    high_up = make_arm(
        tmp_path / "high", source, toy.model, seed=0, r=32, layers_to_transform=[2], target_modules=["q_proj"]
    )
    words, _ = command(source, {"kind": high_up}, trainings={"kind": top})
    layout = read_layout({"genarm": plugin_settings(words)})
    assert layout.max_rank == 32 and layout.arms[0].first_layer == 2
    words, _ = command(source, {"kind": high_up}, trainings={"kind": TrainConfig()})
    assert read_layout({"genarm": plugin_settings(words)}).arms[0].first_layer == 0


@pytest.mark.parametrize("training", [{"method": "full"}, {"model": "another/model"}])
def test_no_room_is_left_for_what_is_no_adapter_on_the_base(toy, arms, training):
    words, _ = command(
        resolve(str(toy.folder)), {"kind": arms["kind"]}, trainings={"kind": TrainConfig(**training)}
    )
    assert set(plugin_settings(words)) == {"arms", "tokens"}


def test_before_the_first_promotion_there_is_the_base(toy):
    words, environment = command(resolve(str(toy.folder)), {})
    names = words.index("--served-model-name")
    assert words[names + 1 : names + 3] == ["base", "--host"]
    assert read_served(environment[SERVED]).models() == ["base"]


def test_what_vllm_cannot_guide_is_refused(toy, arms, tmp_path):
    full = tmp_path / "full"
    toy_model(seed=3).save_pretrained(full)
    toy.tokenizer.save_pretrained(full)
    source = resolve(str(toy.folder))
    write_card(full, replace(card(source), dimension="kind"))
    with pytest.raises(AdapterError, match="version 3 of kind is a full model"):
        command(source, {"kind": full})
    toy_model(seed=4).save_pretrained(tmp_path / "other")
    toy.tokenizer.save_pretrained(tmp_path / "other")
    with pytest.raises(AdapterError, match="adapts weights"):
        command(resolve(str(tmp_path / "other")), {"kind": arms["kind"]})
    family_model("gemma2", tmp_path / "gemma", toy.tokenizer, head_dim=8)
    with pytest.raises(ModelError, match="of the family 'gemma2', which is not guided in vLLM"):
        command(resolve(str(tmp_path / "gemma")), {})


@pytest.mark.parametrize("key", ["", None])
def test_an_address_that_is_open_to_others_needs_a_key(monkeypatch, key):
    monkeypatch.setenv("VLLM_API_KEY", key) if key is not None else monkeypatch.delenv("VLLM_API_KEY", False)
    with pytest.raises(ConfigError, match=r"without a key anybody who reaches 0\.0\.0\.0"):
        serve_by_vllm(None, **ADDRESS | {"host": "0.0.0.0"}, more=[], say=print)


@pytest.mark.parametrize("option", ["--api-key=secret", "--api_key=secret", "--api-k=secret", "--api-key"])
def test_a_key_is_not_told_by_an_argument_and_not_repeated(monkeypatch, option):
    monkeypatch.setenv("VLLM_API_KEY", "other")
    with pytest.raises(ConfigError, match=r"does not take --api-key; .*export VLLM_API_KEY=") as refused:
        serve_by_vllm(None, **ADDRESS, more=["--seed=1", option, "secret"], say=print)
    assert "secret" not in str(refused.value)


def test_what_is_told_to_genarm_is_not_told_to_vllm_past_it():
    for option, hint in {"--host=0.0.0.0": "genarm serve --host", "--config": "one by one"}.items():
        with pytest.raises(ConfigError, match=hint):
            check_options([option])
    check_options(["--api-server-count=1", "--config-format=hf", "--max-model-len", "2048", "-O1", ""])


def test_what_of_a_project_vllm_does_not_serve_is_told_at_the_start(tmp_path, monkeypatch):
    (tmp_path / "params.yaml").write_text(
        PARAMS + "\nserve: {canary: {dimension: length}}\nfeedback: {store: a.db}\n"
    )
    monkeypatch.setattr("genarm.serve.vllm_engine.find_python", lambda root: Path("python"))

    def stop(*_: object) -> None:
        raise ConfigError("enough")

    monkeypatch.setattr("genarm.serve.vllm_engine.Opener", stop)
    said: list[str] = []
    with pytest.raises(ConfigError, match="enough"):
        serve_by_vllm(Project(tmp_path), **ADDRESS, more=[], say=said.append)
    assert said == [
        "not served by vLLM: serve.canary, feedback.store; genarm serve --engine builtin serves them"
    ]
