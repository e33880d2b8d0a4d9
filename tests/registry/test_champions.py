"""The versions in use, fetched as plain folders and checked; training starts from them where it may."""

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import pytest
from registry_toys import DIMENSION, BringChampions, MakeArm, register
from toy_params import dimension

from genarm.errors import AdapterError, RegistryError
from genarm.models.arm import WEIGHTS, adapter_hash, read_card
from genarm.registry import Registry


def test_a_fetched_version_is_a_plain_peft_folder(
    toy: Any, store: Registry, make_arm: MakeArm, champions_so_far: BringChampions, tmp_path: Path
) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    champions_so_far(1)
    champion = store.champions([DIMENSION])[DIMENSION]
    assert champion is not None
    into = tmp_path / "champions" / DIMENSION
    assert store.fetch(DIMENSION, champion, into) == into
    ids = torch.tensor([[1, 2, 3]])

    def logits(folder: Path) -> torch.Tensor:
        base = AutoModelForCausalLM.from_pretrained(toy.folder)
        with torch.no_grad():
            return PeftModel.from_pretrained(base, folder)(ids).logits

    assert torch.equal(logits(into), logits(make_arm(0)))
    assert not torch.equal(logits(into), logits(make_arm(1)))

    with (into / WEIGHTS).open("ab") as file:
        file.write(b"x")
    store.fetch(DIMENSION, champion, into)
    assert read_card(into).adapter_sha256 == champion.adapter_sha256, "an altered copy is fetched anew"
    assert not [p for p in into.parent.iterdir() if p != into], "nothing is left beside it"


def test_what_the_store_holds_is_checked(
    store: Registry, make_arm: MakeArm, champions_so_far: BringChampions, tmp_path: Path
) -> None:
    champions_so_far(1)
    champion = store.champions([DIMENSION])[DIMENSION]
    assert champion is not None
    with pytest.raises(RegistryError, match=r"sqlite:.* has no version 7 .* holds: 1; hint: .*TRACKING_URI"):
        store.fetch(DIMENSION, dataclasses.replace(champion, version=7), tmp_path / "x")
    with pytest.raises(AdapterError, match="champions.json says 000000000000"):
        store.fetch(DIMENSION, dataclasses.replace(champion, adapter_sha256="0" * 64), tmp_path / "x")
    stored = Path(store.show(DIMENSION)["files"].removeprefix("file://")) / "artifacts" / "arm"
    with (stored / WEIGHTS).open("ab") as file:
        file.write(b"x")
    with pytest.raises(AdapterError, match="altered or cut short"):
        store.fetch(DIMENSION, champion, tmp_path / "x")
    shutil.rmtree(stored)
    with pytest.raises(RegistryError, match="files of version 1 .* are gone"):
        store.fetch(DIMENSION, champion, tmp_path / "x")
    assert not (tmp_path / "x").exists()
    register(store, make_arm(0))  # puts the files back
    store.fetch(DIMENSION, champion, tmp_path / "x")


def test_training_starts_from_the_version_in_use_until_that_one_has_seen_the_data(
    root: Path, store: Registry, make_arm: MakeArm, champions_so_far: BringChampions
) -> None:
    """The ARM's card says data `ddd...`: on other data training goes on from it, on these where it began."""
    from functools import partial

    from genarm.pipeline.project import Project
    from genarm.pipeline.registry_fetch import fetch_version
    from genarm.pipeline.warm_start import fetch_start, note_starts, read_starts
    from genarm.system.files import write_json, write_text
    from genarm.system.layout import Layout

    params = {
        "base": {"model": "toy"},
        "dimensions": {DIMENSION: dimension()},
        "train": {"warm_start": "champion"},
    }
    layout, project = Layout(root), Project(root)
    fetch = partial(fetch_version, project)
    champions_so_far(1)
    write_json(layout.params, params)
    champion = store.snapshot(layout.champions, [DIMENSION])[DIMENSION]
    write_text(root / "data.dvc", "outs: [{md5: new.dir}]\n")
    assert note_starts(project, fetch) == [DIMENSION]
    start = fetch_start(project, DIMENSION, fetch)
    assert start == (layout.start_arm(DIMENSION), champion)
    assert read_card(start[0]).adapter_sha256 == adapter_hash(make_arm(0))
    assert note_starts(project, fetch) == [], "said once"
    write_text(root / "data.dvc", f"outs: [{{md5: {'d' * 32}.dir}}]\n")
    assert note_starts(project, fetch) == [DIMENSION]
    assert read_starts(project) == {DIMENSION: None}
