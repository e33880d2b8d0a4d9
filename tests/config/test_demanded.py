"""Keys that `dvc.yaml` names are asked for when the parameters are read, not after hours of training."""

import copy
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from dvc_project import dvc, git
from ruamel.yaml import YAML

from genarm.config import load_params
from genarm.config.demanded import missing_keys
from genarm.errors import ConfigError

ROOT = Path(__file__).parents[2]
WHOLE = YAML(typ="safe").load((ROOT / "params.yaml").read_text())


def without(key: str) -> dict[str, Any]:
    """The parameters of the repository, less one key."""
    values = section = copy.deepcopy(WHOLE)
    *sections, name = key.split(".")
    for part in sections:
        section = section[part]
    del section[name]
    return values


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copy(ROOT / "dvc.yaml", tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("key", "way_out"),
    [
        ("decide", '`decide: {"alpha": 0.01'),
        ("respond.prompts", "`prompts: 120` below respond"),
        ("respond.sampling", '`sampling: {"temperature": 0.7'),
        ("train", "`train: {}`"),
        ("dimensions.plain.train", "`train: {}` below dimensions.plain"),
    ],
)
def test_a_key_with_a_default_is_asked_for_with_its_default(key: str, way_out: str, folder: Path) -> None:
    values = without(key)
    YAML().dump(values, folder / "params.yaml")
    with pytest.raises(ConfigError, match=f"missing '{key}', which dvc.yaml names") as caught:
        load_params(folder / "params.yaml")
    assert way_out in caught.value.hint
    (folder / "dvc.yaml").unlink()
    assert load_params(folder / "params.yaml").dimensions, "without stages a default will do"


def test_the_repositorys_own_parameters_have_every_key(folder: Path) -> None:
    assert missing_keys(WHOLE, ROOT) == []
    assert missing_keys(without("dimensions.plain.train"), ROOT) == ["dimensions.plain.train"]


@pytest.mark.parametrize(
    ("stages", "missing"),
    [
        (
            "stages: {a: {cmd: b, params: [base.size, {params.yaml: [new]}, {other.json: [x]}]}}",
            ["base.size", "new"],
        ),
        ("stages: {a: {matrix: {i: [1, 2], d: '${dimensions}'}, params: ['x.${item.i}.${item.d}']}}", 4),
        ("stages: {a: {foreach: '${dimensions}', do: {params: ['x.${key}']}}}", ["x.positive", "x.plain"]),
        ("stages: {a: {foreach: [1, 2], do: {params: ['x.${item}']}}}", ["x.1", "x.2"]),
        ("stages: {a: {params: ['x.${elsewhere}']}}", []),
        ("stages: {a: {params: [other.yaml:]}}", []),
        ("stages: [", []),
        ("stages: {a: 1}", []),
        ("", []),
    ],
)
def test_any_stage_is_read_as_dvc_reads_it(stages: str, missing: list[str] | int, folder: Path) -> None:
    (folder / "dvc.yaml").write_text(stages)
    found = missing_keys(WHOLE, folder)
    assert (len(found) if isinstance(missing, int) else found) == missing


@pytest.mark.slow
def test_dvc_refuses_exactly_what_is_refused_here(tmp_path: Path) -> None:
    """A null counts as there: it is what the hint offers for `respond.prompts`."""
    git(tmp_path, "init", "--quiet")
    dvc(tmp_path, "init", "--quiet")
    (tmp_path / "dvc.yaml").write_text("stages: {a: {cmd: touch o, params: [respond.prompts], outs: [o]}}")
    for present in (True, False):
        values = without("respond.prompts")
        if present:
            values["respond"]["prompts"] = None
        YAML().dump(values, tmp_path / "params.yaml")
        done = subprocess.run(
            [sys.executable, "-m", "dvc", "repro"], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert (done.returncode == 0) == present == (missing_keys(values, tmp_path) == [])
