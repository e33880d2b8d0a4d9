"""Before a promotion every byte of the base is read: its size and time are not believed."""

import os
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from toy_arms import make_arm

from genarm.errors import ModelError
from genarm.models import resolve
from genarm.pipeline.smoke_test import smoke_test


# peft 0.21 asks transformers 5.23 by the old name
def test_a_base_whose_weights_changed_in_place_promotes_nothing(toy: Any, tmp_path: Path) -> None:
    base = tmp_path / "base"
    shutil.copytree(toy.folder, base)
    source = resolve(str(base))
    arm = make_arm(tmp_path / "arm", source, toy.model, seed=0)
    params = SimpleNamespace(
        respond=SimpleNamespace(weights={"all": 1.0}), base=SimpleNamespace(dtype="float32")
    )
    weights = base / "model.safetensors"
    before, content = weights.stat(), weights.read_bytes()
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    os.utime(weights, ns=(before.st_atime_ns, before.st_mtime_ns))
    project: Any = SimpleNamespace(base=resolve(str(base)), params=params)
    assert project.base.weights_sha256 == source.weights_sha256, "the hash that is noted"
    with pytest.raises(ModelError, match="changed in place: they were .*hint: download"):
        smoke_test(project, "all", arm)
