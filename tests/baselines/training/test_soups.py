"""Rewarded Soups: the mean of the deltas and nothing else, as a folder that PEFT and the decoder read."""

import copy
import json

import peft
import pytest
import torch
from safetensors.torch import load_file, save_file
from toy_arms import TOKENS, make_arm, save_arms
from toys import toy_model

from genarm import models
from genarm.baselines.training.soups import make_soup
from genarm.decoding import GuidedRequest, load_decoder
from genarm.errors import AdapterError, ConfigError, TokenizerMismatch
from genarm.models.arm import read_card
from genarm.models.source import resolve

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")  # of how peft calls transformers
WEIGHTS = "adapter_model.safetensors"
IDS = torch.arange(40, 60)[None]


@pytest.fixture(scope="module")
def source(toy):
    return models.resolve(str(toy.folder))


def deltas(folder) -> dict[str, torch.Tensor]:
    """scale * B A of each module, by hand."""
    config, tensors = json.loads((folder / "adapter_config.json").read_text()), load_file(folder / WEIGHTS)
    found = {}
    for key, down in tensors.items():
        if ".lora_A." in key:
            path = key.removeprefix("base_model.model.").removesuffix(".lora_A.weight")
            alpha = {p: a for p, a in config["alpha_pattern"].items() if path.endswith(p)}
            rank = down.shape[0] ** (0.5 if config["use_rslora"] else 1)
            scale = next(iter(alpha.values()), config["lora_alpha"]) / rank
            found[path] = scale * tensors[key.replace("lora_A", "lora_B")] @ down
    return found


def merged_logits(toy, parts) -> torch.Tensor:
    """The base with theta_0 + sum_i lambda_i Delta_i."""
    model = copy.deepcopy(toy.model)
    with torch.no_grad():
        for folder, weight in parts:
            for path, delta in deltas(folder).items():
                model.get_submodule(path).weight += weight * delta
        return model(IDS).logits


def logits(toy, folder) -> torch.Tensor:
    adapted = peft.PeftModel.from_pretrained(copy.deepcopy(toy.model), str(folder))
    with torch.no_grad():
        return adapted(IDS).logits


def distance(a, b) -> float:
    return ((a - b).norm() / b.norm()).item()


@pytest.mark.parametrize("first", ["all", "top", "attention"])
def test_it_is_the_mean_of_the_deltas_whichever_is_first(toy, source, tmp_path, first):
    """Ranks, scales, layers and targets all differ, and one scales by the root of its rank."""
    folders = save_arms(tmp_path, source, toy.model)
    order = [first, *(name for name in folders if name != first)]
    weights = dict(zip(order, (0.4, 0.3, 0.2, 0.1), strict=True))
    adapters = {name: folders[name] for name in order}
    card = make_soup(source, adapters, weights, name="tasty", dtype="float32", out=tmp_path / "soup")
    wanted = merged_logits(toy, [(adapters[name], weights[name]) for name in order])
    assert distance(logits(toy, tmp_path / "soup"), wanted) < 1e-5
    assert distance(merged_logits(toy, [(tmp_path / "soup", 1)]), wanted) < 1e-5
    assert card.params["weights"] == weights and read_card(tmp_path / "soup") == card
    assert json.loads((tmp_path / "soup" / "adapter_config.json").read_text())["r"] == 2 + 5 + 3 + 4


def test_averages_of_the_factors_and_pefts_linear_are_something_else(toy, source, tmp_path):
    pair = {name: make_arm(tmp_path / name, source, toy.model, seed=i) for i, name in enumerate("ab")}
    make_soup(source, pair, {"a": 0.3, "b": 0.7}, name="ab", dtype="float32", out=tmp_path / "soup")
    wanted = merged_logits(toy, [(pair["a"], 0.3), (pair["b"], 0.7)])
    base = toy.model(IDS).logits

    a, b = (load_file(pair[name] / WEIGHTS) for name in "ab")
    (tmp_path / "factors").mkdir()
    config = (pair["a"] / "adapter_config.json").read_text()
    (tmp_path / "factors" / "adapter_config.json").write_text(config)
    save_file({k: 0.3 * a[k] + 0.7 * b[k] for k in a}, tmp_path / "factors" / WEIGHTS)

    linear = peft.PeftModel.from_pretrained(copy.deepcopy(toy.model), str(pair["a"]), adapter_name="a")
    linear.load_adapter(str(pair["b"]), adapter_name="b")
    linear.add_weighted_adapter(["a", "b"], [0.3, 0.7], "mean", combination_type="linear")
    linear.set_adapter("mean")
    moved = distance(base, wanted)
    assert distance(logits(toy, tmp_path / "soup"), wanted) < 1e-5 * moved
    assert distance(logits(toy, tmp_path / "factors"), wanted) > 0.1 * moved
    assert distance(linear(IDS).logits, wanted) > 0.1 * moved
    assert json.loads((tmp_path / "soup" / "adapter_config.json").read_text())["target_modules"] == sorted(
        json.loads(config)["target_modules"]
    ), "it says where it lies as its adapters do"


def test_the_decoder_answers_with_a_soup_by_contrast(toy, source, tmp_path):
    """At weight 1 the guided policy is the soup itself: the log-probabilities of what it draws say so."""
    pair = {name: make_arm(tmp_path / name, source, toy.model, seed=i) for i, name in enumerate("ab")}
    card = make_soup(source, pair, {"a": 0.5, "b": 0.5}, name="ab", dtype="float32", out=tmp_path / "soup")
    decoder = load_decoder(source, {"soup": tmp_path / "soup"}, dtype="float32")
    asked = GuidedRequest(tuple(range(40, 60)), {"soup": card.weight}, seed=3, guidance=card.guidance)
    answer = decoder.generate([asked])[0]
    ids = torch.tensor([[*range(40, 60), *answer.tokens]])
    model = peft.PeftModel.from_pretrained(copy.deepcopy(toy.model), str(tmp_path / "soup"))
    with torch.no_grad():
        theirs = model(ids).logits[0, 19:-1, :TOKENS].log_softmax(-1)
        base = toy.model(ids).logits[0, 19:-1, :TOKENS].log_softmax(-1)
    kl = (theirs.exp() * (theirs - base)).sum(-1).mean()
    assert answer.kl == pytest.approx(kl.item(), rel=1e-4)


def test_what_is_no_mean_of_adapters_of_the_base_is_refused_by_name(toy, source, tmp_path):
    pair = {name: make_arm(tmp_path / name, source, toy.model, seed=i) for i, name in enumerate("ab")}
    half = {"a": 0.5, "b": 0.5}

    def soup(weights=half, adapters=pair, base=source):
        make_soup(base, adapters, weights, name="x", dtype="float32", out=tmp_path / "soup")

    for weights, words in (
        ({"a": 0.5, "b": 0.6}, "sum to 1.1"),
        ({"a": 1.5, "b": -0.5}, "weight of 'a' is 1.5"),
        ({"a": float("nan"), "b": 1.0}, "weight of 'a' is nan"),
        ({"a": 1.0}, "weights of a, and what they weigh is a, b"),
    ):
        with pytest.raises(ConfigError, match=words):
            soup(weights)
    other = tmp_path / "other"
    toy_model(seed=9).save_pretrained(other)
    toy.tokenizer.save_pretrained(other)
    foreign = resolve(str(other))
    strange = make_arm(tmp_path / "strange", foreign, toy_model(seed=9), seed=1)
    with pytest.raises(AdapterError, match="'b' adapts weights"):
        soup(adapters={"a": pair["a"], "b": strange})
    toy.tokenizer.__class__.from_pretrained(toy.folder).save_pretrained(other)
    tokenizer = json.loads((other / "tokenizer_config.json").read_text())
    (other / "tokenizer_config.json").write_text(json.dumps(tokenizer | {"eos_token": "<|pad|>"}))
    with pytest.raises(TokenizerMismatch, match="'b' was trained on tokenizer"):
        soup(
            adapters={
                "a": pair["a"],
                "b": make_arm(tmp_path / "c", resolve(str(other)), toy_model(seed=9), seed=1),
            }
        )
    with pytest.raises(AdapterError, match="'b' at .* is a full model"):
        soup(adapters={"a": pair["a"], "b": other})
    assert not (tmp_path / "soup").exists()
