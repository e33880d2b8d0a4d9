"""A promotion moves to what was checked: stored files are fetched and hashed anew."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from registry_toys import MakeArm, decision, promote, register, state

from genarm.errors import RegistryError
from genarm.models.arm import adapter_hash, read_card, write_card
from genarm.registry import Registry


def flip_a_byte(file: Path) -> None:
    """Change content alone: size and time stay as they are."""
    before = file.stat()
    with file.open("r+b") as opened:
        opened.seek(-1, os.SEEK_END)
        last = opened.read(1)[0]
        opened.seek(-1, os.SEEK_END)
        opened.write(bytes([last ^ 1]))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def full_model(make_arm: MakeArm, folder: Path) -> Path:
    """An ARM that is a model of its own, whose weights' hash is remembered under size and time."""
    from toys import toy_model

    toy_model(seed=3, layers=2).save_pretrained(folder)
    write_card(folder, read_card(make_arm(0)))
    return folder


@pytest.mark.parametrize("kind", ["adapter", "full model"])
def test_a_byte_changed_in_the_store_is_not_promoted(
    store: Registry, make_arm: MakeArm, tmp_path: Path, kind: str
) -> None:
    choose: dict[str, Callable[[], Path]] = {
        "adapter": lambda: make_arm(0),
        "full model": lambda: full_model(make_arm, tmp_path / "full"),
    }
    folder = choose[kind]()
    register(store, folder)
    stored = Path(store.show("positive", 1)["files"].removeprefix("file://")) / "artifacts" / "arm"
    flip_a_byte(next(stored.glob("*.safetensors")))
    with pytest.raises(RegistryError, match="is not promoted: .* was altered or cut short"):
        promote(store, folder, decision=decision(store, folder))
    assert "champion" not in state(store)["aliases"]
    assert adapter_hash(folder) == read_card(folder).adapter_sha256
