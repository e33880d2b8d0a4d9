"""Training: it learns, it gives the same bytes each time, and it survives what happens to long jobs."""

import errno
import json
import os
import random
import shutil
import signal
from pathlib import Path

import pytest
import safetensors.torch
import torch
from transformers import LlamaForCausalLM

from genarm import models
from genarm.config import TrainConfig
from genarm.errors import ConfigError, DataError, TrainingError
from genarm.models.arm import read_card
from genarm.report.build import CURVES
from genarm.system.files import read_curves, write_curves, write_rows
from genarm.training.evaluate import evaluate_arm
from genarm.training.train import train_arm
from genarm.training.trainer import ArmTrainer
from genarm.types import Message, PreferencePair, Prompt, Provenance

CONFIG = TrainConfig(
    learning_rate=0.02,
    batch_pairs=4,
    batch_tokens=64,  # of pairs of 20 to 34: one or two packs a step
    epochs=2,
    checkpoint_minutes=60,
    lora={"layers": 2, "rank": 2},
)


def preferences(n: int, seed: int = 0) -> list[PreferencePair]:
    """Responses of any letters; chosen are those with an exclamation mark at their end."""
    rng = random.Random(seed)

    def text() -> str:
        return "".join(rng.choice("abcde ") for _ in range(rng.randint(2, 8)))

    return [PreferencePair(Prompt((Message("user", text()),)), text() + "!", text() + "?") for _ in range(n)]


def run(toy, folder: Path, config: TrainConfig = CONFIG, **changes):
    arguments = dict(
        dimension="loud",
        base=models.resolve(str(toy.folder)),
        dtype="float32",
        config=config,
        out=folder / "arm",
        checkpoints=folder / "checkpoints",
        provenance=Provenance(
            data_md5=None, git_commit=None, weight=1.0, warm_start=changes.pop("started_from", None)
        ),
    )
    rows = {
        "train": changes.pop("train", preferences(18)),
        "validation": changes.pop("validation", preferences(9, seed=1)),
    }
    for split, pairs in rows.items():
        write_rows(folder / f"{split}.jsonl", pairs)
    return train_arm(*(folder / f"{split}.jsonl" for split in rows), **(arguments | changes))


@pytest.fixture(autouse=True, scope="module")
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GENARM_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def trained(toy, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    return folder / "arm", run(toy, folder)


def test_it_learns_what_the_pairs_say(trained):
    _, result = trained
    metrics = result.metrics
    assert metrics["validation/accuracy_before"] < 0.85 < metrics["validation/accuracy"]
    assert metrics["validation/margin"] > metrics["validation/margin_before"]
    assert (metrics["train/pairs"], metrics["train/steps"], metrics["validation/pairs"]) == (18, 9, 9)


def test_the_curves_have_a_row_a_step_and_the_names_of_the_field(trained):
    _, result = trained
    steps = [row for row in result.curves if "loss" in row]
    assert [row["step"] for row in steps] == [*range(1, 10)]
    names = {"rewards/accuracies", "rewards/margins", "logps/chosen", "logps/rejected", "grad_norm"}
    assert names | {"learning_rate"} <= set(steps[0])
    assert [row["step"] for row in result.curves if "eval/loss" in row] == [0, 9]
    assert {f"eval/{name}" for name in CURVES} <= {*result.curves[0], *result.curves[-1]}, (
        "as the report reads"
    )


def test_the_folder_is_plain_peft_and_names_no_path_of_this_machine(trained, toy):
    from peft import PeftModel

    arm, result = trained
    assert read_card(arm) == result.card
    assert sorted(p.name for p in arm.iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
        "arm.json",
    ]
    config = json.loads((arm / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == models.resolve(str(toy.folder)).id
    assert config["target_modules"] == sorted(config["target_modules"])
    with pytest.warns(FutureWarning):  # peft's own
        adapted = PeftModel.from_pretrained(LlamaForCausalLM.from_pretrained(toy.folder), str(arm))
    ids = torch.tensor([[1, 2, 3]])
    assert not torch.allclose(adapted(ids).logits, toy.model(ids).logits)


def test_a_saved_arm_measures_as_it_did_while_training(trained, toy):
    arm, result = trained
    found = evaluate_arm(models.resolve(str(toy.folder)), arm, preferences(9, seed=1), dtype="float32")
    assert found["accuracy"] == result.metrics["validation/accuracy"]
    assert found["margin"] == pytest.approx(result.metrics["validation/margin"], abs=1e-3)
    assert found["longer_is_chosen"] == result.metrics["validation/longer_is_chosen"]
    assert found["n"] == 9


def test_the_same_inputs_give_the_same_bytes(trained, toy, tmp_path):
    arm, result = trained
    again = run(toy, tmp_path)
    assert again.card == result.card
    assert again.curves == result.curves
    assert (tmp_path / "arm" / "adapter_config.json").read_bytes() == (
        arm / "adapter_config.json"
    ).read_bytes()
    assert not list((tmp_path / "checkpoints").iterdir())
    other = run(toy, tmp_path, CONFIG.model_copy(update={"seed": 1}))
    assert other.card.adapter_sha256 != result.card.adapter_sha256


def test_packs_change_nothing_but_rounding(toy, tmp_path):
    """Steps of 4, 4 and 2 pairs: loss and gradient are the mean over a step's pairs, however it is packed."""

    def curves(tokens: int) -> list[dict[str, float]]:
        config = CONFIG.model_copy(update={"batch_tokens": tokens, "epochs": 1})
        return run(toy, tmp_path, config, train=preferences(10)).curves

    whole, *others = (curves(tokens) for tokens in (999, 64, 40))
    assert len(whole) == 5  # three steps between two evaluations
    for other in others:
        for a, b in zip(whole, other, strict=True):
            assert a == pytest.approx(b, rel=1e-3, abs=1e-3)


class Killed(Exception):
    pass


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_killed_training_goes_on_to_the_same_bytes(toy, tmp_path, monkeypatch, dtype):
    lora = CONFIG.lora.model_copy(update={"dropout": 0.2})
    config = CONFIG.model_copy(update={"lora": lora, "checkpoint_minutes": 1e-6})
    straight = run(toy, tmp_path / "straight", config, dtype=dtype)
    compute, calls = ArmTrainer.compute_loss, []

    def dies(self, *args, **kwargs):
        calls.append(1)
        if len(calls) == 11:
            raise Killed
        return compute(self, *args, **kwargs)

    monkeypatch.setattr(ArmTrainer, "compute_loss", dies)
    with pytest.raises(Killed):
        run(toy, tmp_path / "killed", config, dtype=dtype)
    assert not (tmp_path / "killed" / "arm").exists()
    (left,) = (tmp_path / "killed" / "checkpoints").iterdir()
    newest = max(left.glob("checkpoint-*"), key=lambda p: int(p.name.split("-")[1]))
    assert newest.name == "checkpoint-5"
    (newest / "optimizer.pt").write_bytes(b"cut short")
    calls.clear()
    resumed = run(toy, tmp_path / "killed", config, dtype=dtype)
    assert len(calls) == 10  # from step 4 on: five steps of two micro-batches
    assert resumed.card == straight.card
    assert resumed.curves == straight.curves
    for name, result in (("straight", straight), ("killed", resumed)):
        write_curves(tmp_path / f"{name}.csv", result.curves)
    assert (tmp_path / "killed.csv").read_bytes() == (tmp_path / "straight.csv").read_bytes()
    assert read_curves(tmp_path / "killed.csv") == straight.curves


def test_killed_while_the_arm_was_saved_it_trains_no_step_again(toy, tmp_path, monkeypatch):
    """With evaluations on the way, the last of which would fall on the last step: it is not done twice."""
    config = CONFIG.model_copy(update={"checkpoint_minutes": 1e-6, "evaluate_steps": 3})
    straight = run(toy, tmp_path / "straight", config)
    assert [row["step"] for row in straight.curves if "eval/loss" in row] == [0, 3, 6, 9]

    def dies(*_):
        raise Killed

    with monkeypatch.context() as saving:
        saving.setattr("genarm.training.train._save", dies)
        with pytest.raises(Killed):
            run(toy, tmp_path / "killed", config)
    monkeypatch.setattr(ArmTrainer, "compute_loss", dies)
    resumed = run(toy, tmp_path / "killed", config)
    assert resumed.card == straight.card
    assert resumed.curves == straight.curves


def stopped_after(monkeypatch, calls: int) -> None:
    """Let the next training die at this forward pass."""
    compute, seen = ArmTrainer.compute_loss, []

    def dies(self, *args, **kwargs):
        seen.append(1)
        if len(seen) == calls:
            raise Killed
        return compute(self, *args, **kwargs)

    monkeypatch.setattr(ArmTrainer, "compute_loss", dies)


def test_a_checkpoint_of_another_training_is_refused_with_the_difference(toy, tmp_path, monkeypatch, caplog):
    config = CONFIG.model_copy(update={"checkpoint_minutes": 1e-6})
    straight = run(toy, tmp_path / "straight", config)
    with monkeypatch.context() as killing:
        stopped_after(killing, 6)
        with pytest.raises(Killed):
            run(toy, tmp_path / "one", config)
        stopped_after(killing, 1)
        with pytest.raises(Killed):
            run(toy, tmp_path / "one", config.model_copy(update={"beta": 0.2}))
    assert "is of another training: settings.beta 0.1, now 0.2; this one starts anew" in caplog.text
    stopped_after(monkeypatch, 99)
    back = run(toy, tmp_path / "one", config)  # the first one's parameters were meant after all
    assert back.card == straight.card and back.curves == straight.curves
    assert not list((tmp_path / "one" / "checkpoints").iterdir())


def test_a_disk_that_fills_during_a_checkpoint_leaves_the_one_before_it(toy, tmp_path, monkeypatch):
    config = CONFIG.model_copy(update={"checkpoint_minutes": 1e-6})
    straight = run(toy, tmp_path / "straight", config)
    save, optimisers = torch.save, []

    def fills(what, where, *more):
        if Path(where).name == "optimizer.pt":
            optimisers.append(where)
            if len(optimisers) == 3:
                Path(where).write_bytes(b"half of i")
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(where))
        return save(what, where, *more)

    with monkeypatch.context() as filling:
        filling.setattr(torch, "save", fills)
        said = (
            r"cannot write .*checkpoint-3.*No space left.*the checkpoint of step 2 is whole.*free some space"
        )
        with pytest.raises(TrainingError, match=said):
            run(toy, tmp_path / "full", config)
    (left,) = (tmp_path / "full" / "checkpoints").iterdir()
    assert sorted(p.name for p in left.glob("checkpoint-*")) == ["checkpoint-1", "checkpoint-2"]
    resumed = run(toy, tmp_path / "full", config)
    assert resumed.card == straight.card and resumed.curves == straight.curves


@pytest.mark.slow
def test_killed_at_any_write_it_goes_on_to_the_same_bytes(toy, tmp_path, monkeypatch):
    """Every file that is opened to be written, from the first checkpoint to the card, is once the last."""
    config = CONFIG.model_copy(update={"checkpoint_minutes": 1e-6, "epochs": 1, "max_pairs": 8})
    straight = run(toy, tmp_path / "straight", config)
    writes: list[str] = []
    last = -1

    def counted(function):
        def write(*args, **kwargs):
            writes.append(function.__name__)
            if len(writes) == last:
                raise Killed
            return function(*args, **kwargs)

        return write

    for module, name in (
        (torch, "save"),
        (safetensors.torch, "save_file"),
        (os, "replace"),
        (os, "rename"),
        (Path, "replace"),
        (Path, "rename"),
        (Path, "write_text"),
        (shutil, "rmtree"),
    ):
        monkeypatch.setattr(module, name, counted(getattr(module, name)))
    run(toy, tmp_path / "counted", config)
    total = len(writes)
    assert total > 12
    for last in range(1, total + 1):
        folder = tmp_path / f"killed-{last}"
        writes.clear()
        with pytest.raises(Killed):
            run(toy, folder, config)
        resumed = run(toy, folder, config)
        assert resumed.card == straight.card and resumed.curves == straight.curves, last


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_in_order_and_the_next_run_goes_on(toy, tmp_path, monkeypatch, number, trained):
    compute, calls = ArmTrainer.compute_loss, []

    def signals(self, *args, **kwargs):
        calls.append(1)
        if len(calls) == 5:
            os.kill(os.getpid(), number)
        return compute(self, *args, **kwargs)

    monkeypatch.setattr(ArmTrainer, "compute_loss", signals)
    with pytest.raises(TrainingError, match="stopped at step 3 of 9.*hint: run the same command"):
        run(toy, tmp_path)
    assert not (tmp_path / "arm").exists()
    assert run(toy, tmp_path).card == trained[1].card


def test_a_loss_that_is_no_number_names_the_prompts(toy, tmp_path):
    pairs = preferences(12)
    with pytest.raises(TrainingError, match="not a number at step 3, on the prompts.*hint: lower") as caught:
        run(toy, tmp_path, CONFIG.model_copy(update={"learning_rate": 1e38}), train=pairs)
    assert any(pair.prompt.id in str(caught.value) for pair in pairs)
    assert not (tmp_path / "arm").exists()


@pytest.mark.parametrize("split", ["train", "validation"])
def test_an_empty_split_is_named(toy, tmp_path, split):
    name = {"train": "training"}.get(split, split)
    with pytest.raises(DataError, match=f"loud has no {name} pairs.*pairs.validation"):
        run(toy, tmp_path, **{split: []})


def test_a_place_that_cannot_be_written_is_named_before_any_work(toy, tmp_path):
    (tmp_path / "checkpoints").write_text("a file where a folder should be")
    with pytest.raises(TrainingError, match="cannot write .*checkpoints"):
        run(toy, tmp_path)


def test_a_full_disk_ends_with_the_old_arm_in_place(toy, tmp_path, trained):
    """No file may grow beyond 4 kB: the optimiser's state and the adapter are larger."""
    import resource

    shutil.copytree(trained[0], tmp_path / "arm")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(TrainingError, match="cannot write .*checkpoints.*free some space"):
            run(toy, tmp_path, CONFIG.model_copy(update={"checkpoint_minutes": 1e-6}))
        with pytest.raises(TrainingError, match="cannot write .*arm"):
            run(toy, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert read_card(tmp_path / "arm") == trained[1].card


def test_at_most_so_many_pairs_are_taken_by_the_seed(toy, tmp_path):
    few = run(toy, tmp_path, CONFIG.model_copy(update={"max_pairs": 5, "epochs": 1}))
    assert few.metrics["train/pairs"] == 5


def test_a_pack_that_cannot_hold_the_longest_pair_is_refused_before_training(toy, tmp_path):
    with pytest.raises(ConfigError, match=r"batch_tokens = 9, but the longest pair has \d\d tokens"):
        run(toy, tmp_path, CONFIG.model_copy(update={"batch_tokens": 9}))
    assert not (tmp_path / "arm").exists()


def test_a_pair_beyond_the_models_context_is_left_out_by_name_or_cut_as_asked(toy, tmp_path, caplog):
    """The toy reads 512 tokens: a prompt of 600 letters is too long, a response of 600 always is."""

    def long(prompt: int, chosen: int) -> PreferencePair:
        return PreferencePair(Prompt((Message("user", "a" * prompt),)), "b" * chosen, "c")

    pairs = [*preferences(5), long(600, 9), long(9, 600)]
    config = CONFIG.model_copy(update={"batch_tokens": 600, "epochs": 1})
    result = run(toy, tmp_path, config, train=pairs)
    assert result.metrics["train/pairs"] == 5
    assert [(r.prompt_id, r.row, r.prompt, r.response) for r in result.refused] == [
        (pairs[5].prompt.id, 6, 603, 10),
        (pairs[6].prompt.id, 7, 12, 601),
    ]
    assert "2 of 7 training pairs are left out, longer than the model's context of 512" in caplog.text
    cut = run(toy, tmp_path, config.model_copy(update={"truncate": "prompt_start"}), train=pairs)
    assert (cut.metrics["train/pairs"], [r.row for r in cut.refused]) == (6, [7])
    with pytest.raises(DataError, match="no training pairs, all 1 are over-long.*train.truncate"):
        run(toy, tmp_path, config, train=pairs[5:6])
