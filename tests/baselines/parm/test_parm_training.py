"""PARM's training: what it minimises, that the vector decides what is preferred, and that it resumes."""

import json
import math
import re

import pytest
import torch
from peft import PeftModel
from toy_parm_training import PARM, TRAIN, pairs_of, run_parm
from toy_training import OFTEN, Killed, in_memory, slow_logps, token_pairs

from genarm.baselines.parm.mixing import MixedSteps, drawn_vector, joined
from genarm.baselines.parm.trainer import ParmTrainer
from genarm.errors import AdapterError, ConfigError
from genarm.training.lora import load_adapter
from genarm.training.tokens import encode

pytestmark = [
    pytest.mark.usefixtures("cache"),
]


def test_the_vector_decides_what_is_preferred(trained):
    """The dimensions want opposite things, so what serves one at its vector fails the other there."""
    metrics = trained[1].metrics
    for dimension, other in (("loud", "calm"), ("calm", "loud")):
        name = f"validation/implicit_accuracy/{dimension}"
        assert metrics[name] > 0.8
        assert metrics[f"{name}/at/{other}"] < 0.2
    both = [metrics[f"validation/implicit_accuracy/{dimension}"] for dimension in ("loud", "calm")]
    assert metrics["validation/implicit_accuracy"] == pytest.approx(sum(both) / 2)


@pytest.mark.parametrize("objective", ["arm", "dpo"])
def test_a_step_minimises_the_shares_of_each_dimensions_loss(toy, tmp_path, objective):
    """The first step by hand: B is 0, so every log-probability is the base's, and DPO's lead is 0."""
    config = TRAIN.model_copy(update={"epochs": 0.1, "objective": objective, "batch_pairs": 5})
    parm = PARM.model_copy(update={"betas": {"calm": 0.3}})
    first = next(row for row in run_parm(toy, tmp_path, config, parm).curves if "loss" in row)
    pairs = pairs_of("train")
    data = {name: in_memory(encode(of_one, toy.tokenizer)) for name, of_one in pairs.items()}
    steps = MixedSteps([*data.values()], config)
    drawn = {name: [] for name in data}
    for i in [i for pack in steps[0] for i in pack]:
        name = ["loud", "calm"][steps.dimension[i]]
        drawn[name].append(joined([*data.values()])[i])
    assert {name: len(of_one) for name, of_one in drawn.items()} == {"loud": 3, "calm": 2}
    expected = 0.0
    for share, (name, beta) in zip(
        drawn_vector(config.seed, 0, 2, 0.5).tolist(), (("loud", config.beta), ("calm", 0.3)), strict=True
    ):
        with torch.no_grad():
            logps = slow_logps(toy.model, drawn[name])
        leads = (beta * (logps[:, 0] - logps[:, 1]) * (objective == "arm")).tolist()
        expected += share * sum(math.log(1 + math.exp(-lead)) for lead in leads) / len(leads)
    assert first["loss"] == pytest.approx(expected, rel=1e-4)


def test_dimensions_take_turns_and_vectors_are_drawn_by_step():
    parts = [in_memory(token_pairs(0)), in_memory(token_pairs(1)[:3]), in_memory(token_pairs(2)[:1])]
    config = TRAIN.model_copy(update={"batch_pairs": 4, "batch_tokens": 512, "epochs": 3})
    steps = MixedSteps(parts, config)
    assert len(steps) == 6  # 8 pairs three times, four a step
    turns = [int(steps.dimension[i]) for i in steps.order]
    assert turns == [i % 3 for i in range(24)]
    assert sorted(steps.order[0:12:3]) == [0, 1, 2, 3]  # each pair once before any comes again
    assert steps.counts(0).tolist() == [2, 1, 1] and steps.counts(1).tolist() == [1, 2, 1]
    together = joined(parts)
    assert [p.prompt for p in together] == [p.prompt for part in parts for p in part]
    assert together.row_tokens.tolist() == [p.row_tokens for p in together]

    drawn = torch.stack([drawn_vector(7, step, 3, 0.5) for step in range(2000)])
    assert torch.allclose(drawn.sum(1), torch.ones(2000))
    # Dirichlet(a, a, a): mean 1/3, variance (1/3)(2/3) / (3a + 1) = 0.0889 at a = 1/2.
    assert drawn.mean(0).tolist() == pytest.approx([1 / 3] * 3, abs=0.03)
    assert drawn.var(0).tolist() == pytest.approx([0.0889] * 3, abs=0.01)
    assert torch.equal(drawn_vector(7, 5, 3, 0.5), drawn[5])


def test_a_killed_training_goes_on_to_the_same_bytes(toy, tmp_path, monkeypatch):
    """The vectors of the steps after the resume are those that would have been drawn."""
    config = TRAIN.model_copy(update={"checkpoint_minutes": OFTEN, "epochs": 0.25, "evaluate_steps": 4})
    straight = run_parm(toy, tmp_path / "straight", config)
    compute, passes = ParmTrainer.compute_loss, []

    def dying(self, *args, **kwargs):
        passes.append(self.state.global_step)
        if passes == [0, 0, 1, 1, 2, 2, 3, 3]:
            raise Killed
        return compute(self, *args, **kwargs)

    monkeypatch.setattr(ParmTrainer, "compute_loss", dying)
    with pytest.raises(Killed):
        run_parm(toy, tmp_path / "killed", config)
    assert not (tmp_path / "killed" / "parm").exists()
    passes.clear()
    resumed = run_parm(toy, tmp_path / "killed", config)
    assert passes == [3, 3, 4, 4, 5, 5]
    assert resumed.card == straight.card
    assert resumed.curves == straight.curves
    assert not any((tmp_path / "killed" / "checkpoints").iterdir())


def test_the_folder_says_what_it_is_and_peft_refuses_it(toy, trained):
    folder, result = trained
    assert sorted(file.name for file in folder.iterdir()) == [
        *("adapter_config.json", "adapter_model.safetensors", "arm.json"),
    ]
    card = json.loads((folder / "arm.json").read_text())
    assert card["dimension"] == "voice" and card["params"]["parm"]["dimensions"] == ["loud", "calm"]
    assert card["metrics"] == {k: v for k, v in result.metrics.items() if "second" not in k}
    with pytest.raises((KeyError, ValueError)):
        PeftModel.from_pretrained(toy.model, folder)
    with pytest.raises(AdapterError, match="is a PARM.*write_plain"):
        load_adapter(toy.model, folder)


@pytest.mark.parametrize(
    ("change", "parm", "message"),
    [
        ({"batch_pairs": 1}, {}, "batch_pairs = 1, and there are 2 dimensions"),
        ({"method": "full"}, {}, "method = 'full'.*method: lora"),
        ({"lora": TRAIN.lora.model_copy(update={"dropout": 0.1})}, {}, "lora.dropout = 0.1"),
        ({}, {"betas": {"quiet": 0.1}}, "betas names 'quiet'.*loud, calm"),
    ],
)
def test_settings_that_parm_lacks_are_refused(toy, tmp_path, change, parm, message):
    config, parm = TRAIN.model_copy(update=change), PARM.model_copy(update=parm)
    with pytest.raises(ConfigError) as refused:
        run_parm(toy, tmp_path, config, parm)
    assert re.search(message, str(refused.value))
