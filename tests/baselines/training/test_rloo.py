"""RLHF and MORL by TRL: rewards are read as judges read them, they rise, and a stopped training resumes."""

import pytest
import torch
from toy_rewards import change_tensors, llama, save, talk
from toys import byte_tokenizer

from genarm import models
from genarm.baselines.training import rloo
from genarm.baselines.training.reward import Reward, Scale
from genarm.baselines.training.settings import RlooTraining
from genarm.config.judge import RewardModelConfig
from genarm.errors import ConfigError, DataError, JudgeError, TrainingError
from genarm.judges.reward.scorer import RewardScorer
from genarm.models.arm import read_card
from genarm.system.files import sha256
from genarm.system.progress import ProgressDisplay
from genarm.training import stock_trainer

PROMPTS = [talk(f"say {i}") for i in range(12)]
QUICK = RlooTraining(
    steps=16,
    step_prompts=4,
    generations=4,
    max_new_tokens=8,
    learning_rate=0.05,
    lora={"layers": 2, "rank": 4},
)


def share_of(folder, wanted):
    """A reward model that one can read: it grows with the share of the tokens that are wanted.

    Its one layer averages the embeddings, which hold +1 or -1, and its head reads that mean. Padding and end
    are one token.
    """
    tokenizer = byte_tokenizer()
    tokenizer.pad_token = tokenizer.eos_token
    save(folder, llama(num_hidden_layers=1, pad_token_id=256), tokenizer)

    def build(tensors):
        for name, value in tensors.items():
            if "norm" not in name:
                value.zero_()
        tensors["model.embed_tokens.weight"][:, 0] = torch.where(wanted, 1.0, -1.0)
        tensors["model.embed_tokens.weight"][:, 1] = 2.0
        for name in ("v_proj", "o_proj"):
            tensors[f"model.layers.0.self_attn.{name}.weight"].copy_(torch.eye(32))
        tensors["score.weight"][0, 0] = 1.0

    change_tensors(folder, build)
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Two reward models, of which one wants what the other does not."""
    root, even = tmp_path_factory.mktemp("rewards"), torch.arange(264) % 2 == 0
    return {"even": share_of(root / "even", even), "odd": share_of(root / "odd", ~even)}


def train(toy, folders, root, config=QUICK, weights=None, prompts=PROMPTS):
    return rloo.train(
        models.resolve(str(toy.folder)),
        prompts,
        folders,
        weights=weights,
        name="rlhf",
        dtype="float32",
        config=config,
        out=root / "policy",
        work=root / "work",
    )


def test_a_reward_is_what_a_judge_of_the_same_model_gives(folders):
    """At the end of the text, though it is the padding token, and standardised afterwards."""
    reward, texts = Reward("even", folders["even"]), ["abc", "a", "longer than these"]
    given = RewardModelConfig(model=str(folders["even"]))
    judged = RewardScorer(models.resolve(given.model), given).score_all(PROMPTS[:3], texts)
    reward.scale = Scale(mean=1.0, deviation=2.0)
    messages = [[{"role": "user", "content": p.messages[0].content}] for p in PROMPTS[:3]]
    turns = [[{"role": "assistant", "content": text}] for text in texts]
    found = reward(messages, turns, completion_ids=None)
    torch.testing.assert_close(found, [(s - 1) / 2 for s in judged], rtol=0, atol=1e-6)
    cost = Reward("cost", given.model_copy(update={"lower_is_better": True}))
    torch.testing.assert_close(cost.scores(PROMPTS[:3], texts), [-s for s in judged], rtol=0, atol=1e-6)


def test_the_reward_that_has_the_weight_rises_and_the_policy_has_a_card(toy, folders, tmp_path, capfd):
    """Standardised by the base, so that both begin near zero; in units of its deviation."""
    for of, other in (("even", "odd"), ("odd", "even")):
        made = train(toy, folders, tmp_path / of, weights={of: 1.0, other: 0.0})
        assert abs(sum(row["reward"] for row in made.curves[:2])) / 2 < 0.7
        assert made.metrics["train/reward"] > 0.8
        assert made.metrics[f"train/rewards/{of}"] == pytest.approx(made.metrics["train/reward"])
        assert made.metrics[f"train/rewards/{other}"] < -0.5
    assert made.metrics["train/prompts"] == 12 and made.metrics["train/responses"] == 16 * 16
    assert made.metrics["train/kl"] > 0 and made.metrics["train/seconds"] > 0
    card = read_card(tmp_path / "odd" / "policy")
    assert (card.weight, card.guidance, card.params["method"]) == (1.0, "contrast", "rloo")
    assert card.params["weights"] == {"odd": 1.0, "even": 0.0}
    assert card.model_weights_sha256 == models.resolve(str(toy.folder)).weights_sha256
    assert capfd.readouterr().out == ""


def test_a_stopped_training_ends_as_a_whole_one(toy, folders, tmp_path, monkeypatch):
    config, one = QUICK.model_copy(update={"steps": 7}), {"even": folders["even"]}
    whole, steps = train(toy, one, tmp_path / "whole", config), []

    class Stops(ProgressDisplay):
        def show(self, step):
            steps.append(step.done)
            if len(steps) == 5:  # in the second pass over the 12 prompts
                raise KeyboardInterrupt

    monkeypatch.setattr(rloo, "ProgressDisplay", Stops)
    with pytest.raises(KeyboardInterrupt):
        train(toy, one, tmp_path / "stopped", config)
    made = train(toy, one, tmp_path / "stopped", config)
    assert steps[5] == 5 and [row["step"] for row in made.curves] == [*range(1, 8)]
    timeless = [{k: v for k, v in m.metrics.items() if "seconds" not in k} for m in (whole, made)]
    assert timeless[0] == timeless[1]
    weights = [sha256(tmp_path / n / "policy" / "adapter_model.safetensors") for n in ("whole", "stopped")]
    assert weights[0] == weights[1]


def test_what_cannot_be_trained_says_so(toy, folders, tmp_path, monkeypatch):
    nan = save(tmp_path / "nan", llama(3))
    change_tensors(nan, lambda tensors: tensors.update({"score.weight": tensors["score.weight"] * torch.inf}))
    with pytest.raises(JudgeError, match="broken"):
        train(toy, {"broken": nan}, tmp_path / "a")
    flat = save(tmp_path / "flat", llama(3))
    change_tensors(flat, lambda tensors: tensors.update({"score.weight": tensors["score.weight"] * 0}))
    with pytest.raises(JudgeError, match="'flat' gives 0 to each of 72 responses"):
        train(toy, {"flat": flat}, tmp_path / "b")
    with pytest.raises(JudgeError, match="no reward model"):
        train(toy, {"base": toy.folder}, tmp_path / "c")
    with pytest.raises(ConfigError, match="sum to 0.9"):
        train(toy, folders, tmp_path / "d", weights={"even": 0.4, "odd": 0.5})
    with pytest.raises(DataError, match="none of 12 prompts leaves room for 510 tokens"):
        train(
            toy,
            folders,
            tmp_path / "e",
            QUICK.model_copy(update={"max_new_tokens": 510}),
            {"even": 1.0, "odd": 0.0},
        )
    monkeypatch.setattr(stock_trainer.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(TrainingError, match="RLHF needs the package trl") as caught:
        train(toy, folders, tmp_path / "f")
    assert caught.value.hint == "pip install 'genarm[baselines]'"
