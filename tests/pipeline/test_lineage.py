"""Where a result comes from, against real git."""

import subprocess

import pytest
from toy_params import dimension

from genarm.pipeline.lineage import git_commit, git_dirty, provenance, report_lineage
from genarm.pipeline.project import Project
from genarm.system.files import write_json, write_text
from genarm.types import Champion, Provenance

PARAMS = {
    "base": {"model": "nowhere"},
    "dimensions": {"kind": dimension(weight=0.3)},
}


@pytest.fixture
def project(tmp_path):
    write_json(tmp_path / "params.yaml", PARAMS)
    write_text(tmp_path / "data.dvc", f"outs: [{{md5: {'d' * 32}.dir}}]\n")
    write_text(tmp_path / "dvc.lock", "")
    write_json(tmp_path / "mlflow" / "champions.json", {})
    return Project(tmp_path)


def git(project: Project, *words: str) -> str:
    name = ("-c", "user.name=t", "-c", "user.email=t@t")
    command = ["git", *name, *words]
    return subprocess.run(
        command, cwd=project.root, check=True, capture_output=True, text=True
    ).stdout.strip()


def committed(project: Project) -> str:
    git(project, "init", "--quiet")
    git(project, "add", "-A")
    git(project, "commit", "--quiet", "-m", "start")
    return git(project, "rev-parse", "HEAD")


def test_only_what_a_run_does_not_write_itself_makes_a_tree_dirty(project):
    assert git_commit(project.root) is None, "no repository yet"
    assert git_commit(project.root) != committed(project) == git_commit(project.root)
    assert not git_dirty(project.root)
    for own in ("dvc.lock", "mlflow/champions.json", "untracked"):
        write_text(project.root / own, "changed")
    assert not git_dirty(project.root)
    write_text(project.root / "params.yaml", "changed")
    assert git_dirty(project.root)


def test_a_card_records_commit_data_weight_and_start(project):
    version = Champion(3, "m-3", "a" * 64, 1.0)
    commit = committed(project)
    assert provenance(project, "kind", version) == Provenance("d" * 32, commit, 0.3, version)


def test_the_report_shows_commit_and_data_with_what_the_flow_noted(project):
    commit = committed(project)
    origin = {"git commit": commit, "data md5": "d" * 32}
    assert report_lineage(project) == origin
    write_json(project.layout.lineage, {"flow run": "f"})
    assert report_lineage(project) == origin | {"flow run": "f"}
