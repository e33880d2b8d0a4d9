"""Checkpoints on a disk that is full or cannot be written, and how each library reports that."""

import errno
import os
import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import safetensors.torch
import torch
from toy_training import OFTEN, changed, run

from genarm.errors import TrainingError
from genarm.models.arm import read_card
from genarm.training.checkpoints import disk_errors_named

pytestmark = pytest.mark.usefixtures("cache")


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Let the system refuse to make any file of this process larger than this many bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


TENSORS = {"weight": torch.zeros(4096)}


@pytest.mark.parametrize(
    "write",
    [
        lambda file: torch.save(TENSORS, file),
        lambda file: safetensors.torch.save_file(TENSORS, file),
        lambda file: file.write_bytes(bytes(9999)),
    ],
    ids=["torch", "safetensors", "python"],
)
def test_a_write_that_fails_is_named_whichever_library_writes(tmp_path, write):
    """The real libraries against a real limit: an upgrade that reports it by another error fails here."""
    with (
        files_of_at_most(4096),
        pytest.raises(TrainingError, match=f"cannot write {tmp_path}.*free some space"),
        disk_errors_named(tmp_path / "file"),
    ):
        write(tmp_path / "file")


def test_a_place_that_cannot_be_written_is_named_before_any_work(toy, tmp_path):
    (tmp_path / "checkpoints").write_text("a file where a folder should be")
    with pytest.raises(TrainingError, match="cannot write .*checkpoints"):
        run(toy, tmp_path)


def test_a_disk_that_fills_during_a_checkpoint_leaves_the_one_before_it(toy, tmp_path, monkeypatch):
    config = changed(checkpoint_minutes=OFTEN)
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
        message = r"cannot write .*checkpoint-3.*No space left.*checkpoint of step 2 is kept.*free some space"
        with pytest.raises(TrainingError, match=message):
            run(toy, tmp_path / "full", config)
    (left,) = (tmp_path / "full" / "checkpoints").iterdir()
    assert sorted(p.name for p in left.glob("checkpoint-*")) == ["checkpoint-1", "checkpoint-2"]
    resumed = run(toy, tmp_path / "full", config)
    assert resumed.card == straight.card and resumed.curves == straight.curves


def test_a_full_disk_ends_with_the_old_arm_in_place(toy, tmp_path, trained):
    """No file may grow beyond 4 kB: the optimiser's state and the adapter are larger."""
    shutil.copytree(trained[0], tmp_path / "arm")
    with files_of_at_most(4096):
        with pytest.raises(TrainingError, match="cannot write .*checkpoints.*free some space"):
            run(toy, tmp_path, changed(checkpoint_minutes=OFTEN))
        with pytest.raises(TrainingError, match="cannot write .*arm"):
            run(toy, tmp_path)
    assert read_card(tmp_path / "arm") == trained[1].card
