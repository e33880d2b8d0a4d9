"""`genarm init`: a complete project, made in a moment, and never over another one."""

import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from genarm import __version__
from genarm.config import load_params
from genarm.errors import ConfigError, PipelineError
from genarm.operations import new_project
from genarm.system.layout import Layout

ROOT = Path(__file__).parents[2]
CODE = ("genarm", "flows", "pyproject.toml", "constraints.txt")


def pipeline(path: Path) -> tuple[dict[str, dict[str, Any]], dict[str, list[str]]]:
    """The stages of a dvc.yaml without what stands for the code, and what stands for it, by stage."""
    stages = YAML(typ="safe").load(path.read_text(encoding="utf-8"))["stages"]
    code: dict[str, list[str]] = {}
    for name, stage in stages.items():
        stage = stage.get("do", stage)
        code[name] = [d for d in stage["deps"] if d.split("/")[0] in CODE or d == "requirements.txt"]
        stage["deps"] = [d for d in stage["deps"] if d not in code[name]]
    return stages, code


@pytest.fixture
def project(tmp_path):
    return new_project.create(tmp_path / "new")


def test_it_has_the_stages_of_this_repository():
    """One pipeline: only what stands for the code differs, folders here, a pinned version there."""
    ours, code = pipeline(ROOT / "dvc.yaml")
    theirs, version = pipeline(new_project.TEMPLATES / "dvc-stages.yaml")
    for name in ("tune", "judge"):  # a new project has judges of its own, and this repository none
        theirs[name]["do"]["deps"].remove("judges.py")
    assert theirs == ours and list(theirs) == list(ours)
    assert all(code.values())
    assert version == {stage: ["requirements.txt"] for stage in theirs}


def test_it_is_complete(project):
    folder, layout = project.folder, Layout(project.folder)
    params = load_params(layout.params)
    assert not project.kept and all((folder / name).is_file() for name in project.written)
    for file in (layout.champions, layout.incumbents, layout.starts, layout.looks):
        assert json.loads(file.read_text()) == dict.fromkeys(params.dimensions)
    assert f"genarm=={__version__}\n" in (folder / "requirements.txt").read_text()
    status = [sys.executable, "-m", "dvc", "status", "--json"]
    done = subprocess.run(status, cwd=folder, capture_output=True, text=True, check=True)
    stages, _ = pipeline(folder / "dvc.yaml")
    assert {name.partition("@")[0] for name in json.loads(done.stdout)} == set(stages)


def test_every_key_of_its_parameters_that_a_stage_watches_is_there(project):
    """DVC refuses to run a stage whose parameter the file leaves to its default."""
    values = YAML(typ="safe").load((project.folder / "params.yaml").read_text())
    stages, _ = pipeline(project.folder / "dvc.yaml")
    done = [stage.get("do", stage) for stage in stages.values()]
    for key in [k for stage in done for k in stage.get("params", ()) if isinstance(k, str)]:
        node = values
        for part in key.replace("${key}", "preference").split("."):
            assert part in node, key
            node = node[part]


def test_git_ignores_what_a_run_writes(project):
    """The same as here, but for what only a developer has."""

    def ignored(folder: Path) -> set[str]:
        return set((folder / ".gitignore").read_text().splitlines())

    assert ignored(project.folder) <= ignored(ROOT)
    for name in ("artifacts/x", "data", "mlflow/mlflow.db", ".prefect/x", ".cache/run.lock"):
        subprocess.run(["git", "check-ignore", "--quiet", name], cwd=project.folder, check=True)
    assert (project.folder / ".dvcignore").read_text().splitlines()[1:] == (
        ROOT / ".dvcignore"
    ).read_text().splitlines()[1:]
    assert (project.folder / ".dvc" / "config").read_text() == (ROOT / ".dvc" / "config").read_text()


def test_a_folder_that_is_a_project_is_refused_by_the_file_that_makes_it_one(project):
    before = {path: path.read_bytes() for path in project.folder.iterdir() if path.is_file()}
    with pytest.raises(ConfigError, match=re.escape(f"{project.folder / 'params.yaml'} exists")):
        new_project.create(project.folder)
    assert {path: path.read_bytes() for path in project.folder.iterdir() if path.is_file()} == before


def test_what_is_there_stays(tmp_path):
    (tmp_path / "README.md").write_text("mine\n")
    (tmp_path / ".gitignore").write_text("/data\n*.secret")
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    project = new_project.create(tmp_path)
    assert project.kept == ["README.md"] and (tmp_path / "README.md").read_text() == "mine\n"
    lines = (tmp_path / ".gitignore").read_text().splitlines()
    assert lines[:2] == ["/data", "*.secret"] and lines.count("/data") == 1 and "/artifacts/" in lines


def test_a_folder_inside_a_repository_gets_none_of_its_own(tmp_path):
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    project = new_project.create(tmp_path / "inner")
    assert not (project.folder / ".git").exists()


def test_without_git_nothing_is_begun(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PipelineError, match="git is not installed"):
        new_project.create(tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_the_command_is_quick_and_says_what_to_do_next(tmp_path):
    """Nothing heavy is imported: torch alone would take seconds."""
    started = time.monotonic()
    code = (
        "import sys; sys.argv = ['genarm', 'init', 'new']; from genarm.cli.main import main\n"
        "try: main()\n"
        "finally: print([m for m in ('torch', 'transformers', 'dvc', 'mlflow') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert time.monotonic() - started < 10
    *shown, heavy = done.stdout.splitlines()
    assert heavy == "[]"
    written, following = shown[1 : shown.index("next:")], shown[shown.index("next:") + 1 :]
    assert {line.strip() for line in written} >= {
        "params.yaml",
        "dvc.yaml",
        ".dvc/config",
        "mlflow/starts.json",
    }
    assert following[0].strip() == "cd new"
    assert [line.split("#")[0].strip() for line in following[1:]] == [
        "genarm data SOURCE",
        'git add -A && git commit -m "A new project"',
        "genarm run",
    ]
