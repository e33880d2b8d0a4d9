"""The recipes of configs/: they load, carry the paper's numbers and fill every parameter a stage reads."""

from pathlib import Path

import pytest
from ruamel.yaml import YAML
from toys import byte_tokenizer

from genarm.config import load_params
from genarm.models import load_tokenizer, render, resolve
from genarm.types import Message

ROOT = Path(__file__).parents[2]
CONFIGS = sorted((ROOT / "configs").glob("*.yaml"))
TALK = [Message("user", "one"), Message("assistant", "two"), Message("user", "three")]


# beta, learning rate, epochs, pairs a step, schedule; weight, new tokens. GenARM's settings; where a recipe
# departs from them its header says so.
@pytest.mark.parametrize(
    ("name", "dimension", "training", "decoding"),
    [
        ("hh-rlhf", "preference", (0.05, 5e-4, 1, 32, "cosine"), (1.0, 128)),
        ("saferlhf", "helpful", (0.5, 5e-4, 1, 32, "cosine"), (0.2, 512)),
        ("saferlhf", "harmless", (0.01, 5e-4, 1, 32, "cosine"), (4.0, 512)),
        ("tulu2-weak-to-strong", "preference", (0.1, 5e-7, 3, 32, "linear"), (1.0, 2048)),
    ],
)
def test_a_recipe_carries_the_papers_numbers(name, dimension, training, decoding):
    params = load_params(ROOT / "configs" / f"{name}.yaml")
    train, sampling = params.train_config(dimension), params.respond.sampling
    assert (train.beta, train.learning_rate, train.epochs, train.batch_pairs, train.schedule) == training
    assert (params.dimensions[dimension].weight, sampling.max_new_tokens) == decoding
    assert (sampling.temperature, sampling.top_k, sampling.top_p) == (1.0, 0, 1.0)
    assert train.method == ("full" if name.startswith("tulu2") else "lora")
    if train.method == "lora":
        assert (train.lora.rank, train.lora.alpha, train.lora.layers) == (8, 16, "all")
        assert train.lora.targets == ("q_proj", "k_proj", "v_proj")
    assert train.batch_tokens >= 2 * params.pairs.max_tokens, "holds the longest pair"


@pytest.mark.parametrize(
    ("name", "prompt"),
    [
        ("hh-rlhf", "<s>\n\nHuman: one\n\nAssistant: two\n\nHuman: three\n\nAssistant:"),
        ("saferlhf", "<s>BEGINNING OF CONVERSATION: USER: one ASSISTANT:two</s>USER: three ASSISTANT:"),
        (
            "tulu2-weak-to-strong",
            "<s><|user|>\none\n<|assistant|>\ntwo</s>\n<|user|>\nthree\n<|assistant|>\n",
        ),
    ],
)
def test_a_recipe_renders_the_prompt_its_base_was_trained_on(name, prompt):
    tokenizer = byte_tokenizer()
    tokenizer.add_special_tokens({"bos_token": "<s>", "eos_token": "</s>"})
    tokenizer.chat_template = load_params(ROOT / "configs" / f"{name}.yaml").base.chat_template
    assert tokenizer.decode(render(tokenizer, TALK)) == prompt


def test_the_template_of_a_recipe_takes_the_place_of_the_tokenizers_own(toy, tmp_path):
    template = load_params(ROOT / "configs" / "saferlhf.yaml").base.chat_template
    toy.model.save_pretrained(tmp_path)
    tokenizer = byte_tokenizer()
    tokenizer.add_special_tokens({"bos_token": "<s>"})  # which the template writes
    tokenizer.save_pretrained(tmp_path)
    source = resolve(str(tmp_path), chat_template=template)
    assert load_tokenizer(source).chat_template == template
    assert load_tokenizer(resolve(str(tmp_path))).chat_template != template


@pytest.mark.parametrize("path", [*CONFIGS, ROOT / "params.yaml"], ids=lambda p: p.stem)
def test_every_parameter_that_a_stage_watches_is_there(path):
    """DVC refuses to run a stage whose parameter the file leaves to its default."""
    values, params = YAML(typ="safe").load(path.read_text()), load_params(path)
    stages = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())["stages"]
    definitions = [stage.get("do", stage) for stage in stages.values()]
    keys = {k for stage in definitions for k in stage.get("params", ()) if isinstance(k, str)}
    assert keys
    for key in keys:
        for dimension in params.dimensions if "${key}" in key else [""]:
            node = values
            for part in key.replace("${key}", dimension).split("."):
                assert part in node, f"{path.name} has no {key}"
                node = node[part]


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.stem)
def test_a_recipe_is_judged_by_models_of_two_kinds_neither_of_which_made_the_labels(path):
    for dimension in load_params(path).dimensions.values():
        judges = [dimension.judge, dimension.held_out]
        assert {judge.kind for judge in judges} == {"reward_model", "llm"}
        assert not any("gpt-4" in judge.name.lower() for judge in judges), "which labelled UltraFeedback"


def test_the_reward_models_of_saferlhf_read_what_the_base_writes():
    params = load_params(ROOT / "configs" / "saferlhf.yaml")
    for name, dimension in params.dimensions.items():
        model = dimension.judge.reward_model
        assert model.chat_template == params.base.chat_template
        assert model.lower_is_better == (name == "harmless") == model.model.endswith("cost")
