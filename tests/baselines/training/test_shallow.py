"""A model with fewer layers: which are kept, that it heals and resumes, and has the base's tokenizer."""

import json
import math

import pytest
import torch
from toy_training import SHAPES, preferences
from toys import byte_tokenizer, toy_model
from transformers import AutoModelForCausalLM

from genarm import models
from genarm.baselines.training import shallow
from genarm.baselines.training.settings import ShallowTraining
from genarm.baselines.training.shallow import Text, divergence, kept_layers, prune
from genarm.errors import ConfigError
from genarm.models.weights import weights_hash
from genarm.system.files import write_rows
from genarm.system.progress import ProgressDisplay

CUT = ShallowTraining(layers=4, steps=30, batch_tokens=256, learning_rate=0.01)


@pytest.fixture(scope="module")
def deep(tmp_path_factory):
    """A base of six layers, and text."""
    root = tmp_path_factory.mktemp("deep")
    toy_model(layers=6, initializer_range=0.2).save_pretrained(root / "base")
    byte_tokenizer().save_pretrained(root / "base")
    write_rows(root / "train.jsonl", preferences(30))
    write_rows(root / "validation.jsonl", preferences(9, seed=1))
    return root


def train(deep, out, config=CUT):
    return shallow.train(
        models.resolve(str(deep / "base")),
        deep / "train.jsonl",
        deep / "validation.jsonl",
        name="weak",
        dtype="float32",
        config=config,
        out=out / "weak",
        work=out / "work",
    )


def test_two_layers_stay_at_either_end_and_all_but_those_that_turn_the_states_least():
    """Layers that add nothing are found wherever they are, and the angle of others is that of plain loops."""
    torch.manual_seed(0)
    texts = [Text([*range(first, first + 9)], 2) for first in (3, 40)]
    for idle in ([2, 3], [3, 4], [5, 6]):
        model = toy_model(layers=9, initializer_range=0.2).eval()
        for i in idle:
            for last in (model.model.layers[i].self_attn.o_proj, model.model.layers[i].mlp.down_proj):
                torch.nn.init.zeros_(last.weight)
        assert kept_layers(model, 7, texts) == [i for i in range(9) if i not in idle]
        assert kept_layers(model, 8, texts) == [i for i in range(9) if i != idle[0]]
    assert kept_layers(toy_model(layers=6), 4, texts) == [0, 1, 4, 5]
    for layers in (3, 9):
        with pytest.raises(ConfigError, match=f"layers is {layers}, and the base has 9"):
            kept_layers(model, layers, texts)


def test_the_angle_of_layers_by_plain_loops():
    model, texts = toy_model(layers=5, initializer_range=0.2).eval(), [Text([5, 9, 2], 1), Text([7, 1], 1)]
    found, tokens = [0.0] * 3, 0
    with torch.no_grad():
        for text in texts:
            states = model.model(torch.tensor([text.ids]), output_hidden_states=True).hidden_states
            for t in range(len(text.ids)):
                for layer in range(3):
                    a, b = states[layer][0, t].tolist(), states[layer + 2][0, t].tolist()
                    dot = sum(x * y for x, y in zip(a, b, strict=True))
                    found[layer] += math.acos(dot / math.hypot(*a) / math.hypot(*b)) / math.pi
            tokens += len(text.ids)
    assert shallow._angles(model, 2, texts) == pytest.approx([angle / tokens for angle in found], abs=1e-5)


def test_the_pruned_model_is_its_layers_one_after_another(deep):
    """Run by hand through the base's own layers 0, 1, 4 and 5; and with a cache as without."""
    whole, cut = (models.load_model(models.resolve(str(deep / "base")), "float32") for _ in range(2))
    prune(cut, [0, 1, 4, 5])
    ids = torch.arange(40, 52)[None]
    with torch.no_grad():
        states = whole.model.embed_tokens(ids)
        where = whole.model.rotary_emb(states, torch.arange(12)[None])
        mask = torch.full((12, 12), -torch.inf).triu(1)[None, None]
        for i in (0, 1, 4, 5):
            states = whole.model.layers[i](states, attention_mask=mask, position_embeddings=where)
        by_hand = whole.lm_head(whole.model.norm(states))
        torch.testing.assert_close(cut(ids).logits, by_hand, rtol=0, atol=1e-4)
        head = cut(ids[:, :8], use_cache=True)
        tail = cut(ids[:, 8:], past_key_values=head.past_key_values)
    torch.testing.assert_close(tail.logits, by_hand[:, 8:], rtol=0, atol=1e-4)


@pytest.mark.parametrize("shape", [name for name in SHAPES if "window" in name])
def test_what_is_told_of_each_layer_is_told_of_those_that_stay(tmp_path, shape):
    """A layer with a sliding window has it still, in memory and when its folder is read again."""
    torch.manual_seed(0)
    whole = SHAPES[shape]().eval()
    kinds = getattr(whole.config, "layer_types", None)
    prune(whole, [0, 2, 3])
    assert kinds is None or whole.config.layer_types == [kinds[i] for i in (0, 2, 3)]
    whole.save_pretrained(tmp_path)
    again, ids = AutoModelForCausalLM.from_pretrained(tmp_path).eval(), torch.arange(40, 60)[None]
    with torch.no_grad():
        torch.testing.assert_close(again(ids).logits, whole(ids).logits, rtol=0, atol=1e-5)


def test_divergence_by_hand():
    """(1/2, 1/2) from (1/4, 3/4): ln(2)/2 + ln(2/3)/2 = 0.1438; the other row is the same in both."""
    teacher, student = (
        torch.tensor([[0.5, 0.5], [0.1, 0.9]]).log(),
        torch.tensor([[0.25, 0.75], [0.1, 0.9]]).log(),
    )
    assert divergence(student, teacher).item() == pytest.approx(0.1438 / 2, abs=1e-4)


def test_it_heals_and_is_a_model_with_the_tokenizer_of_the_base(deep, tmp_path, capfd):
    made = train(deep, tmp_path)
    base, weak = models.resolve(str(deep / "base")), models.resolve(str(tmp_path / "weak"))
    before, after = (made.metrics[f"perplexity/{which}"] for which in ("pruned", "healed"))
    assert made.curves[-1]["loss"] < made.curves[0]["loss"] / 2 and after < before
    assert made.metrics["perplexity/base"] < before
    assert weak.tokenizer_sha256 == base.tokenizer_sha256 and made.metrics["shallow/layers"] == 4
    model = models.load_model(weak, "float32")
    assert model.config.num_hidden_layers == 4
    held_out = shallow._texts(deep / "validation.jsonl", models.load_tokenizer(weak), 512)
    assert shallow.perplexity(model, held_out) == pytest.approx(after, rel=1e-4)
    original = models.load_model(base, "float32")
    assert torch.equal(model.get_input_embeddings().weight, original.get_input_embeddings().weight)
    card = json.loads((tmp_path / "weak" / "shallow.json").read_text())
    assert card["layers"] == [0, 1, 4, 5] and card["base"]["weights_sha256"] == base.weights_sha256
    assert card["metrics"]["perplexity/healed"] == after and capfd.readouterr().out == ""


def test_a_stopped_healing_ends_as_a_whole_one(deep, tmp_path, monkeypatch):
    config, steps = CUT.model_copy(update={"steps": 10}), []
    whole = train(deep, tmp_path / "whole", config)

    class Stops(ProgressDisplay):
        def show(self, step):
            steps.append(step.done)
            if len(steps) == 7:
                raise KeyboardInterrupt

    monkeypatch.setattr(shallow, "ProgressDisplay", Stops)
    with pytest.raises(KeyboardInterrupt):
        train(deep, tmp_path / "stopped", config)
    made = train(deep, tmp_path / "stopped", config)
    assert steps[7] == 7 and [row["step"] for row in made.curves] == [*range(1, 11)]
    assert made.curves == whole.curves
    assert len({weights_hash(tmp_path / which / "weak") for which in ("whole", "stopped")}) == 1
