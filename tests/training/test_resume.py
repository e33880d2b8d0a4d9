"""Training that is killed or stopped: the next run resumes and ends with the same bytes."""

import os
import shutil
import signal
from pathlib import Path

import pytest
import safetensors.torch
import torch
from toy_training import CONFIG, OFTEN, Killed, at_pass, changed, die, run

from genarm.errors import TrainingError
from genarm.system.files import read_curves, write_curves
from genarm.training.trainer import ArmTrainer

pytestmark = pytest.mark.usefixtures("cache")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_killed_training_goes_on_to_the_same_bytes(toy, tmp_path, monkeypatch, dtype):
    lora = CONFIG.lora.model_copy(update={"dropout": 0.2})
    config = changed(lora=lora, checkpoint_minutes=OFTEN)
    straight = run(toy, tmp_path / "straight", config, dtype=dtype)
    passes = at_pass(monkeypatch, 11, die)
    with pytest.raises(Killed):
        run(toy, tmp_path / "killed", config, dtype=dtype)
    assert not (tmp_path / "killed" / "arm").exists()
    (left,) = (tmp_path / "killed" / "checkpoints").iterdir()
    newest = max(left.glob("checkpoint-*"), key=lambda p: int(p.name.split("-")[1]))
    assert newest.name == "checkpoint-5"
    (newest / "optimizer.pt").write_bytes(b"cut short")
    passes.clear()
    resumed = run(toy, tmp_path / "killed", config, dtype=dtype)
    assert len(passes) == 10  # from step 4 on: five steps of two packs
    assert resumed.card == straight.card
    assert resumed.curves == straight.curves
    for name, result in (("straight", straight), ("killed", resumed)):
        write_curves(tmp_path / f"{name}.csv", result.curves)
    assert (tmp_path / "killed.csv").read_bytes() == (tmp_path / "straight.csv").read_bytes()
    assert read_curves(tmp_path / "killed.csv") == straight.curves


def test_killed_while_the_arm_was_saved_it_trains_no_step_again(toy, tmp_path, monkeypatch):
    """With evaluations on the way, the last of which would fall on the last step: it is not done twice."""
    config = changed(checkpoint_minutes=OFTEN, evaluate_steps=3)
    straight = run(toy, tmp_path / "straight", config)
    assert [row["step"] for row in straight.curves if "eval/loss" in row] == [0, 3, 6, 9]

    with monkeypatch.context() as saving:
        saving.setattr("genarm.training.train.write_card", lambda *_: die())
        with pytest.raises(Killed):
            run(toy, tmp_path / "killed", config)
    at_pass(monkeypatch, 1, die)
    resumed = run(toy, tmp_path / "killed", config)
    assert resumed.card == straight.card
    assert resumed.curves == straight.curves


def test_a_checkpoint_of_another_training_is_refused_with_the_difference(toy, tmp_path, monkeypatch, caplog):
    config = changed(checkpoint_minutes=OFTEN)
    straight = run(toy, tmp_path / "straight", config)
    with monkeypatch.context() as killing:
        at_pass(killing, 6, die)
        with pytest.raises(Killed):
            run(toy, tmp_path / "one", config)
        at_pass(killing, 1, die)
        with pytest.raises(Killed):
            run(toy, tmp_path / "one", changed(checkpoint_minutes=OFTEN, beta=0.2))
    assert "belongs to another training and is not used (settings.beta 0.05, now 0.2)" in caplog.text
    assert "training starts from step 0" in caplog.text
    back = run(toy, tmp_path / "one", config)  # the first one's parameters were meant after all
    assert back.card == straight.card and back.curves == straight.curves
    assert not list((tmp_path / "one" / "checkpoints").iterdir())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_in_order_and_the_next_run_goes_on(toy, tmp_path, monkeypatch, number, trained):
    at_pass(monkeypatch, 5, lambda: os.kill(os.getpid(), number))
    with pytest.raises(TrainingError, match="stopped at step 3 of 9.*hint: run the same command"):
        run(toy, tmp_path)
    assert not (tmp_path / "arm").exists()
    assert run(toy, tmp_path).card == trained[1].card


def test_a_loss_that_is_not_finite_leaves_the_last_good_checkpoint(toy, tmp_path, monkeypatch):
    compute = ArmTrainer.compute_loss

    def breaks(self, model, inputs, **more):
        loss = compute(self, model, inputs, **more)
        if self.state.global_step == 4:
            next(p for p in model.parameters() if p.requires_grad).data.fill_(float("nan"))
        return loss

    config = changed(checkpoint_minutes=OFTEN)
    with monkeypatch.context() as patch:
        patch.setattr(ArmTrainer, "compute_loss", breaks)
        with pytest.raises(Exception, match="not finite at step [56]"):
            run(toy, tmp_path, config)
    kept = sorted(path.name for path in (tmp_path / "checkpoints").glob("*/checkpoint-*"))
    assert kept == ["checkpoint-3", "checkpoint-4"]
    assert run(toy, tmp_path, config).metrics["validation/accuracy"] > 0.85


@pytest.mark.slow
def test_killed_at_any_write_it_goes_on_to_the_same_bytes(toy, tmp_path, monkeypatch):
    """Every file that is opened to be written, from the first checkpoint to the card, is once the last."""
    config = changed(checkpoint_minutes=OFTEN, epochs=1, max_pairs=8)
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
