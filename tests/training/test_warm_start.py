"""Warm start: training starts from the champion's weights, and only where these fit."""

import shutil

import pytest
from safetensors.torch import load_file, save_file
from toy_training import CONFIG, changed, preferences, run
from toys import toy_model

from genarm import models
from genarm.config import TrainConfig
from genarm.errors import AdapterError, ConfigError
from genarm.models import arm as arms
from genarm.training.evaluate import evaluate_arm
from genarm.training.lora import load_adapter
from genarm.types import Champion

pytestmark = pytest.mark.usefixtures("cache")

FIRST = preferences(40, seed=7)


@pytest.fixture(scope="module")
def champion(toy, tmp_path_factory, cache):
    """The folder of an ARM that has learned from forty pairs, and the version it is of."""
    folder = tmp_path_factory.mktemp("champion")
    card = run(toy, folder, train=FIRST).card
    return folder / "arm", Champion(3, "m-3", card.adapter_sha256, 1.0)


@pytest.mark.parametrize("method", ["lora", "full"])
def test_training_on_starts_where_the_champion_is_and_beats_starting_anew(toy, tmp_path, champion, method):
    """Four new pairs are too few to learn from alone; the champion knows already what they say."""
    folder, version = champion
    if method == "full":
        run(toy, tmp_path / "champion", changed(method="full", learning_rate=0.01), train=FIRST)
        folder = tmp_path / "champion" / "arm"
    config = changed(method=method, epochs=1, learning_rate=0.002, warm_start="champion")
    few = preferences(4, seed=9)
    on = run(toy, tmp_path / "on", config, train=few, start=folder, started_from=version)
    anew = run(toy, tmp_path / "anew", config, train=few)
    champions = evaluate_arm(models.resolve(str(toy.folder)), folder, preferences(9, seed=1), dtype="float32")
    assert on.metrics["validation/margin_before"] == pytest.approx(champions["margin"], abs=1e-3)
    assert on.metrics["validation/accuracy"] > anew.metrics["validation/accuracy"]
    assert on.metrics["validation/margin"] > anew.metrics["validation/margin"] + 1
    assert arms.read_card(tmp_path / "on" / "arm").warm_start == version
    assert anew.card.warm_start is None


@pytest.mark.parametrize(
    ("update", "message"),
    [
        ({"lora": {"layers": 2, "rank": 3}}, "champion has lora.rank = 2, params.yaml asks for 3.*null"),
        ({"lora": {"layers": 3, "rank": 2}}, r"lora.layers = \[2, 3\], params.yaml asks for \[1, 2, 3\]"),
        ({"lora": {"layers": "all", "rank": 2}}, r"lora.layers = \[2, 3\], params.yaml asks for all"),
        ({"lora": {"layers": 2, "rank": 2, "alpha": 4}}, "lora.alpha = 16.*, params.yaml asks for 4"),
        ({"lora": {"layers": 2, "rank": 2, "targets": ["q_proj"]}}, r"lora.targets.*asks for \['q_proj'\]"),
        ({"method": "full"}, "champion has method = lora, params.yaml asks for method = full.*null"),
    ],
)
def test_a_champion_of_another_shape_is_refused_with_both_values(toy, tmp_path, champion, update, message):
    config = TrainConfig.model_validate({**CONFIG.model_dump(), **update})
    with pytest.raises(ConfigError, match=message):
        run(toy, tmp_path, config, start=champion[0], started_from=champion[1])


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda t: t.pop(min(t)), "lacks what .* describes: 1 tensor, the first is 'base_model.*lora_A"),
        (
            lambda t: t.update({min(t).replace("layers.2", "layers.0"): t[min(t)]}),
            "holds more than .*layers.0",
        ),
    ],
)
def test_a_champion_that_is_not_whole_is_refused(toy, tmp_path, champion, change, told):
    """peft would start what is missing anew and leave out what is too much, without a word."""
    folder = shutil.copytree(champion[0], tmp_path / "champion")
    tensors = load_file(folder / arms.WEIGHTS)
    change(tensors)
    save_file({name: tensor.clone() for name, tensor in tensors.items()}, folder / arms.WEIGHTS)
    arms.write_card(folder, arms.read_card(champion[0]))
    with pytest.raises(AdapterError, match=told):
        run(toy, tmp_path, start=folder, started_from=champion[1])
    with pytest.raises(AdapterError, match=told):
        load_adapter(toy_model(), folder)


def test_a_champion_on_other_weights_is_refused(toy, tmp_path, champion):
    toy_model(seed=5).save_pretrained(tmp_path / "other")
    toy.tokenizer.save_pretrained(tmp_path / "other")
    with pytest.raises(AdapterError, match="adapts weights"):
        run(toy, tmp_path, base=models.resolve(str(tmp_path / "other")), start=champion[0])
