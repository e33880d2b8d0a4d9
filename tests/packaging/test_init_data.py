"""`genarm init --data`: data found, described and versioned; or refused, and nothing is left."""

import importlib.util
import json
import logging
import subprocess
from pathlib import Path

import pytest
from dvc_project import git
from ruamel.yaml import YAML

from genarm.config import load_params
from genarm.data import dvc
from genarm.errors import ConfigError, DataError, ModelError, PipelineError
from genarm.operations import new_project
from genarm.operations.found_data import DimensionData, find
from genarm.operations.project_params import NewDimension, with_dimensions
from genarm.system.layout import Layout

COLUMNS = {"prompt": "instruction", "chosen": "better", "rejected": "worse"}
BOTH = ("helpful", "harmless")


@pytest.fixture(autouse=True)
def known_committer(monkeypatch):
    """Git knows who commits, and nothing else of the machine's settings."""
    for name, value in (("NAME", "t"), ("EMAIL", "t@example.org")):
        monkeypatch.setenv(f"GIT_AUTHOR_{name}", value)
        monkeypatch.setenv(f"GIT_COMMITTER_{name}", value)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")


@pytest.fixture
def source(tmp_path):
    """Pairs of two dimensions, in columns of no known format, beside a README."""
    folder = tmp_path / "pairs"
    folder.mkdir()
    for name in BOTH:
        rows = ({"instruction": f"{name} {i}?", "better": f"Yes {i}.", "worse": "No."} for i in range(60))
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "README.md").write_text("mine\n")
    return folder


def test_it_is_complete_versioned_and_committed(source, tmp_path):
    project = new_project.create(tmp_path / "new", str(source), BOTH)
    params = load_params(Layout(project.folder).params)
    assert list(params.dimensions) == list(BOTH)
    for name, dimension in params.dimensions.items():
        assert (dimension.data.files, dimension.data.columns.by_part()) == (f"{name}.jsonl", COLUMNS)
    assert dvc.data_version(project.folder)
    assert (project.folder / "data" / "helpful.jsonl").read_bytes() == (source / "helpful.jsonl").read_bytes()
    assert git(project.folder, "status", "--porcelain") == ""
    assert set(git(project.folder, "ls-files").splitlines()) == set(project.written)
    commands = [line.split("#")[0].strip() for line in project.next]
    assert commands == ["genarm doctor", "genarm plan", "genarm run"]
    assert "\n".join(project.next) in (project.folder / "README.md").read_text()
    assert "README.md: no dimension reads it" in project.told


def test_the_parameters_of_the_template_are_those_of_a_project_without_data():
    text = (new_project.TEMPLATES / "params.yaml").read_text()
    assert with_dimensions(text, [NewDimension("preference")]) == text


def test_its_judges_prefer_no_response_and_say_so(source, tmp_path, caplog):
    project = new_project.create(tmp_path / "new", None, ("plain", "help-desk"))
    dimensions = load_params(Layout(project.folder).params).dimensions
    assert [d.judge.scorer for d in dimensions.values()] == ["plain", "judges:HelpDesk"]
    spec = importlib.util.spec_from_file_location("judges_of_a_test", project.folder / "judges.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert not hasattr(module, "Plain") and hasattr(module, "Relevant")
    with caplog.at_level(logging.WARNING):
        judge = module.HelpDesk()
    assert "judges:HelpDesk is a stand-in" in caplog.text
    assert judge.score(None, "Sure, gladly.") == judge.score(None, "Never!") and judge.version == "stand-in"


@pytest.mark.parametrize(
    ("files", "arguments", "error", "told"),
    [
        ({}, {}, DataError, "the folder is empty"),
        ({"a.xlsx": "x"}, {}, DataError, r"holds no preference data, only a.xlsx; hint: pandas.read_excel"),
        ({"a.jsonl": '{"text": "x"}\n'}, {}, DataError, "a.jsonl cannot be read.*it has text.*--columns"),
        ({"a.jsonl": "{}\n"}, {"dimensions": BOTH}, DataError, "named after the dimension 'helpful'"),
        ({"a.jsonl": "{}\n"}, {"dimensions": ("Helpful",)}, ConfigError, "no name of a dimension"),
        ({"a.jsonl": "{}\n"}, {"base": "nowhere"}, ModelError, "'nowhere' is no folder, no GGUF"),
    ],
)
def test_what_is_refused_leaves_nothing(files, arguments, error, told, tmp_path):
    (tmp_path / "in").mkdir()
    for name, content in files.items():
        (tmp_path / "in" / name).write_text(content)
    with pytest.raises(error, match=told):
        new_project.create(tmp_path / "new", str(tmp_path / "in"), **arguments)
    assert [f.name for f in tmp_path.iterdir()] == ["in"]


@pytest.mark.parametrize("there", [False, True])
def test_what_fails_later_is_undone(there, source, tmp_path, monkeypatch):
    folder = tmp_path / "new" / "deep"
    if there:
        folder.mkdir(parents=True)
        (folder / ".gitignore").write_text("mine")
    monkeypatch.setattr(dvc, "_must", lambda *_: (_ for _ in ()).throw(PipelineError("DVC failed")))
    with pytest.raises(PipelineError, match="DVC failed"):
        new_project.create(folder, str(source), BOTH)
    if there:
        assert [(f.name, f.read_text()) for f in folder.iterdir()] == [(".gitignore", "mine")]
    else:
        assert not (tmp_path / "new").exists()


def test_a_project_does_not_lie_in_its_own_data(source):
    with pytest.raises(ConfigError, match="would lie in its own data"):
        new_project.create(source / "new", str(source))


def test_a_repository_that_is_there_is_left_to_its_owner(source, tmp_path):
    git(tmp_path, "init", "--quiet")
    project = new_project.create(tmp_path / "new", str(source), BOTH)
    assert project.next[0].startswith("git add -A && git commit")
    assert subprocess.run(["git", "log"], cwd=project.folder, capture_output=True).returncode


def test_a_base_model_is_named_as_it_is_found_from_the_project(toy, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("base").symlink_to(toy.folder)
    Path("in").mkdir()
    Path("in/base").symlink_to(toy.folder)
    cases = (("base", "a", str(tmp_path / "base")), ("in/base", "in", "./base"), ("x/y", "b", "x/y"))
    for base, folder, named in cases:
        project = new_project.create(Path(folder), base=base)
        assert load_params(Layout(project.folder).params).base.model == named


def test_pku_rows_are_read_for_two_dimensions(tmp_path):
    row = {"prompt": "Why?", "response_0": "So.", "response_1": "No.", "better_response_id": 0}
    (tmp_path / "pku.jsonl").write_text(json.dumps(row | {"safer_response_id": 1}) + "\n")
    found = find(str(tmp_path), BOTH, {})
    labels = {d.dimension: (d.files, d.preferred) for d in found.dimensions}
    assert labels == {
        "helpful": ("pku.jsonl", "better_response_id"),
        "harmless": ("pku.jsonl", "safer_response_id"),
    }
    with pytest.raises(ConfigError, match="'kind' says not which"):
        find(str(tmp_path), ("kind",), {})


def test_any_name_of_a_column_is_written_so_that_it_is_read_again():
    columns = {"prompt": "yes", "chosen": 'a "b": {c}, d', "rejected": "答え # 1", "system": "no"}
    data = DimensionData("kind", "**/* [x].jsonl", columns, "safer_response_id", ())
    text = with_dimensions("base: 1\n\ndimensions:\n  old: 1\n\npairs: 2\n", [NewDimension("kind", data)])
    read = YAML(typ="safe").load(text)
    assert (read["base"], read["pairs"]) == (1, 2)
    assert read["dimensions"]["kind"]["data"] == {
        "files": "**/* [x].jsonl",
        "format": "pku",
        "preferred": "safer_response_id",
        "columns": columns,
    }
    lines = [line for line in text.splitlines() if line.startswith("    ")]
    assert all("#" in line or line.strip() == "data:" for line in lines)


def test_the_folder_of_a_source_that_is_fetched_is_gone_afterwards(tmp_path, monkeypatch):
    seen: list[Path] = []

    def gather(root: Path, source: str, folder: Path) -> None:
        seen.append(folder)
        raise DataError("nothing there")

    monkeypatch.setattr(dvc, "gather", gather)
    with pytest.raises(DataError, match="nothing there"):
        new_project.create(tmp_path / "new", "https://example.org/pairs.jsonl")
    assert seen and not seen[0].parent.exists() and not (tmp_path / "new").exists()
