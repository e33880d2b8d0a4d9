"""The project: found from any folder in it, read once, and what earlier stages wrote as nouns."""

import dataclasses

import pytest
from toy_params import dimension

from genarm.config import load_params
from genarm.errors import ConfigError, DataError
from genarm.models.arm import CONFIG, WEIGHTS, adapter_hash
from genarm.pipeline.project import Project
from genarm.system.files import write_json, write_rows
from genarm.types import Champion, Message, Prompt, Response

PARAMS = {
    "base": {"model": "nowhere"},
    "dimensions": {"kind": dimension()},
    "respond": {"prompts": 2},
}
PROMPTS = [Prompt((Message("user", f"question {i}"),)) for i in range(3)]
CHAMPION = Champion(4, "m-4", "a" * 64, 1.0)


@pytest.fixture
def project(tmp_path):
    write_json(tmp_path / "params.yaml", PARAMS)
    return Project(tmp_path)


def test_it_is_found_from_any_folder_below_its_root(project, monkeypatch):
    below = project.root / "artifacts" / "arms"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    assert Project.find() == Project.find(project.root) == project
    assert project.layout.arm("kind") == below / "kind"


def test_parameters_are_read_once(project):
    params = project.params
    (project.root / "params.yaml").write_text("broken: [")
    assert project.params is params
    with pytest.raises(ConfigError):
        load_params(project.layout.params)


def test_a_folder_without_parameters_is_named(tmp_path):
    with pytest.raises(ConfigError, match=f"no parameter file at {tmp_path}"):
        _ = Project(tmp_path).params


def test_champions_are_strict_unless_the_caller_is_not(project):
    with pytest.raises(DataError, match=r"no file at .*champions.json"):
        project.champions()
    assert project.champions(missing_ok=True) == {}
    write_json(project.layout.champions, {"kind": CHAMPION})
    assert project.champions() == {"kind": CHAMPION}


def test_the_trained_arm_is_in_use_where_its_bytes_are_the_champions(project):
    folder = project.layout.arm("kind")
    folder.mkdir(parents=True)
    (folder / CONFIG).write_text("{}")
    (folder / WEIGHTS).write_bytes(b"weights")
    same = dataclasses.replace(CHAMPION, adapter_sha256=adapter_hash(folder))
    assert project.is_in_use("kind", same)
    assert not project.is_in_use("kind", CHAMPION)
    assert not project.is_in_use("kind", None)


def test_a_side_without_answers_is_left_out_and_prompts_are_as_many_as_asked(project):
    rows = [Response(p.id, "text", 1, "stop", -1.0, 0.0) for p in PROMPTS]
    layout = project.layout
    write_rows(layout.prompts, PROMPTS)
    write_rows(layout.responses("base"), rows)
    write_rows(layout.responses("challenger", "kind"), rows)
    write_rows(layout.responses("champion", "kind"), [])
    assert project.responses("kind") == {"base": rows, "challenger": rows}
    assert project.prompts() == PROMPTS[:2]
