"""Reward models of an experiment: what a killed training left is used only by the same training."""

import shutil
import string

import pytest
from toys import byte_tokenizer, toy_model

from genarm.config.judge_training import JudgeTraining
from genarm.experiments.reward_pairs import train_reward
from genarm.experiments.train_context import TrainContext
from genarm.models import resolve
from genarm.models.judge_folder import read_judge
from genarm.system import metric_names as names
from genarm.system.files import write_rows
from genarm.types import Message, PreferencePair, Prompt


def test_a_model_of_other_settings_is_not_taken_where_one_was_killed(tmp_path, monkeypatch):
    toy_model(layers=2).save_pretrained(tmp_path / "base")
    byte_tokenizer().save_pretrained(tmp_path / "base")
    rows = [
        PreferencePair(Prompt((Message("user", f"say {c}"),)), c * 5, c * 3) for c in string.ascii_lowercase
    ]
    write_rows(tmp_path / "pairs" / "train.jsonl", rows)
    write_rows(tmp_path / "pairs" / "validation.jsonl", rows[:10])
    context = TrainContext(
        base=resolve(str(tmp_path / "base")),
        dtype="float32",
        pairs={"kind": tmp_path / "pairs"},
        models={},
        name="rm",
        seed=0,
        out=tmp_path / "rm",
        checkpoints=tmp_path / "checkpoints",
    )
    slow = JudgeTraining(layers=1, rank=2, learning_rate=1e-5, most=8, batch_pairs=4)
    fast = slow.model_copy(update={"learning_rate": 1e-2})

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    def trained(config: JudgeTraining) -> str:
        train_reward(context, context.base, "kind", config, prefixes=False)
        return read_judge(context.out).sha256

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "copytree", killed)
        with pytest.raises(KeyboardInterrupt):
            trained(slow)
    assert trained(fast) != (of_slow := trained(slow))
    assert read_judge(context.out).params["learning_rate"] == 1e-5 and of_slow
    made = train_reward(context, context.base, "kind", slow, prefixes=True)
    found = made.metrics
    assert [row[names.STEP] for row in made.curves] == [1, 2, 3, 4] and all(
        row[names.LOSS] for row in made.curves
    )
    assert (found["train/pairs"], found["train/beginnings"]) == (8, 8), "a pair and its beginning are one"
    assert (found[names.JUDGE_PAIRS], found[names.JUDGE_LONGER]) == (10, 1.0)  # the chosen ones are longer
    low, high = found[names.JUDGE_ACCURACY_LOWER], found[names.JUDGE_ACCURACY_UPPER]
    assert low < found[names.JUDGE_ACCURACY] <= high
