"""Where a result comes from, against real git."""

import subprocess
from datetime import UTC, date, datetime

import pytest
from toy_params import dimension

from genarm.pipeline.lineage import (
    commit_page,
    git_commit,
    git_dirty,
    provenance,
    report_lineage,
    server_page,
)
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
    write_json(tmp_path / "judge-checks.json", {})
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
    for own in ("dvc.lock", "mlflow/champions.json", "judge-checks.json", "untracked"):
        write_text(project.root / own, "changed")
    assert not git_dirty(project.root)
    write_text(project.root / "params.yaml", "changed")
    assert git_dirty(project.root)


def test_a_card_records_commit_data_weight_and_start(project):
    version = Champion(3, "m-3", "a" * 64, 1.0)
    commit = committed(project)
    assert provenance(project, "kind", version) == Provenance("d" * 32, commit, 0.3, version, "contrast")


def test_the_report_shows_commit_data_and_servers_with_what_the_flow_noted(project, monkeypatch):
    for name in ("PREFECT_API_URL", "PREFECT_UI_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")
    commit = committed(project)
    origin = {"git commit": commit, "git dirty": "false", "git page": "", "data md5": "d" * 32}
    origin |= {"mlflow server": "", "prefect server": ""}
    shown = report_lineage(project)
    assert date.fromisoformat(shown.pop("date")) <= datetime.now(UTC).date()
    assert shown == origin

    write_json(project.layout.lineage, {"flow run": "f"})
    write_text(project.root / "params.yaml", "changed")
    git(project, "remote", "add", "origin", "https://me:secret@github.com/o/r.git")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://me:secret@mlflow.example.org/")
    monkeypatch.setenv("PREFECT_API_URL", "http://prefect.example.org:4200/api")
    shown = report_lineage(project)
    assert "secret" not in str(shown)
    assert (
        shown.items()
        >= {
            "flow run": "f",
            "git dirty": "true",
            "git page": f"https://github.com/o/r/commit/{commit}",
            "mlflow server": "https://mlflow.example.org",
            "prefect server": "http://prefect.example.org:4200",
        }.items()
    )


@pytest.mark.parametrize(
    ("remote", "page"),
    [
        ("git@github.com:o/r.git", "https://github.com/o/r/commit/c1"),
        ("https://token@github.com/o/r", "https://github.com/o/r/commit/c1"),
        ("ssh://git@gitlab.example.org:2222/a/b/r.git", "https://gitlab.example.org/a/b/r/-/commit/c1"),
        ("https://o:p@ss@gitlab.com/a/r.git/", "https://gitlab.com/a/r/-/commit/c1"),
        ("https://git.example.org/o/r.git", ""),
        ("/srv/github/r.git", ""),
        ("https://github.com/o/r?token=1", ""),
        ("", ""),
    ],
)
def test_a_commit_has_a_page_where_its_remote_is_of_a_known_form(remote, page):
    assert commit_page(remote, "c1") == page


def test_prefect_cloud_has_its_pages_elsewhere():
    api = "https://api.prefect.cloud/api/accounts/a-1/workspaces/w-2"
    assert server_page(api) == "https://app.prefect.cloud/account/a-1/workspace/w-2"
