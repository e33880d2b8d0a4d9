"""When several processes are launched, and what is read from those that fail."""

import json
import os
from pathlib import Path

import pytest
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure

from genarm.config import TrainConfig
from genarm.errors import ConfigError, TrainingError
from genarm.training.launch import (
    config_file,
    failure,
    killed_process,
    launch,
    needs_launch,
    report_failure,
    report_process_id,
)

ROOT = Path(__file__).parents[2]


def test_the_launcher_is_chosen_by_the_parameters(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert needs_launch(TrainConfig(launcher="accelerate"))
    assert not needs_launch(TrainConfig(launcher="python"))
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert needs_launch(TrainConfig())
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    assert not needs_launch(TrainConfig())
    monkeypatch.setenv("WORLD_SIZE", "2")  # one of several does not start others
    assert not needs_launch(TrainConfig(launcher="accelerate"))


def test_a_file_of_accelerate_that_is_not_there_is_refused_with_those_that_are():
    config = TrainConfig(launcher="accelerate", accelerate_config="two-gpus")
    with pytest.raises(ConfigError, match="'two-gpus' names no accelerate.*fsdp2, multi-node, single-node"):
        launch(ROOT, "loud", config)


def test_a_file_of_the_project_comes_before_the_one_that_comes_with_genarm(tmp_path):
    own = tmp_path / "configs" / "accelerate" / "fsdp2.yaml"
    own.parent.mkdir(parents=True)
    own.write_text("num_machines: 1\n")
    assert config_file(tmp_path, TrainConfig(accelerate_config="fsdp2")) == own
    shipped = config_file(tmp_path, TrainConfig())
    assert shipped.name == "single-node.yaml" and tmp_path not in shipped.parents


def report_of_torch(*exit_codes: int, first: int) -> list[str]:
    """The lines that torch's launcher ends with when rank `first` was the first process to end so."""
    failures = {
        rank: ProcessFailure(local_rank=rank, pid=7 + rank, exitcode=code, error_file="none")
        for rank, code in enumerate(exit_codes)
        if code
    }
    for rank, failure_of_rank in failures.items():
        failure_of_rank.timestamp = int(rank != first)
    return ["a line of the training", *str(ChildFailedError("train_worker", failures)).splitlines()]


def test_a_killed_process_is_read_from_the_real_report_of_torch():
    """A killed process has the negative number of the signal as exit code; the others end after it."""
    assert killed_process("\n".join(report_of_torch(-15, -9, first=1))) == (1, 9)
    assert killed_process("\n".join(report_of_torch(-15, -9, first=0))) == (0, 15)
    assert killed_process("\n".join(report_of_torch(0, 1, first=1))) is None
    assert killed_process("no report") is None


def test_a_failure_names_what_went_wrong_first(tmp_path):
    lines = report_of_torch(0, -9, first=1)
    assert "process 1 was ended by SIGKILL" in str(failure("loud", tmp_path, lines))
    (tmp_path / "failed-0.json").write_text(json.dumps(["the loss is not finite", "lower it"]))
    assert str(failure("loud", tmp_path, [])) == "the loss is not finite; hint: lower it"
    assert "SIGKILL" in str(failure("loud", tmp_path, lines)), "what was killed comes before its consequences"


def test_what_a_process_reports_is_the_error_of_the_training(tmp_path, monkeypatch):
    monkeypatch.setenv("GENARM_TRAINING", str(tmp_path))
    monkeypatch.setenv("RANK", "1")
    report_failure(TrainingError("the loss is not finite", hint="lower it"))
    report_process_id()
    assert str(failure("loud", tmp_path, [])) == "the loss is not finite; hint: lower it"
    assert json.loads((tmp_path / "pid-1.json").read_text()) == os.getpid()
