"""The team's servers saved, lost and restored: PostgreSQL, MLflow, Prefect, an S3 and a DVC remote."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from dvc_project import dvc, git
from registry_server import mlflow_on
from registry_toys import DIMENSION, METRICS, promote
from s3_server import Store, s3_server
from team_servers import Databases, post, prefect_server, team_settings
from toy_arms import card, make_arm
from whole_postgres import programs, whole_postgres

from genarm import registry
from genarm.config import FeedbackConfig
from genarm.feedback import store as votes
from genarm.models import resolve
from genarm.models.arm import write_card

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow


@pytest.fixture
def databases(monkeypatch) -> Iterator[Databases]:
    monkeypatch.setenv("PATH", str(programs()), prepend=os.pathsep)
    with whole_postgres() as socket:
        yield Databases(socket)


@pytest.fixture
def store(monkeypatch) -> Iterator[Store]:
    """Its buckets are those of compose.yaml."""
    with s3_server("mlflow", "dvc") as served:
        for name, value in served.environment.items():
            monkeypatch.setenv(name, value)
        yield served


@pytest.fixture
def team(databases, store, tmp_path, monkeypatch) -> dict[str, str]:
    """The environment of the servers."""
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    env = team_settings("s3://mlflow", databases.socket, mlflow="ofmlflow1", prefect="ofprefect1")
    return env | {"GENARM_DVC_REMOTE": "s3://dvc", "GENARM_VOTES": f"sqlite:///{tmp_path}/votes/feedback.db"}


def make(project: Path, env: dict[str, str], *words: str) -> "subprocess.CompletedProcess[str]":
    """`make` as an operator types it for servers without containers."""
    backup = f"BACKUP={sys.executable} -m genarm.operations.backup"
    command = ["make", *words, backup]
    return subprocess.run(command, cwd=project, env={**os.environ, **env}, capture_output=True, text=True)


def pushed(clone: Path, rows: str) -> None:
    """Another version of the data of a clone, at the DVC remote; 200,000 bytes of it stay as they are."""
    (clone / "data" / "rows.jsonl").write_text(rows)
    dvc(clone, "add", "data")
    dvc(clone, "push")


@pytest.fixture
def clone(store, tmp_path) -> Path:
    """A repository whose DVC remote is the bucket."""
    folder = tmp_path / "clone"
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "large.jsonl").write_bytes(os.urandom(200_000))
    git(folder, "init", "--quiet")
    dvc(folder, "init", "--quiet")
    dvc(folder, "remote", "add", "--default", "team", "s3://dvc")
    dvc(folder, "remote", "modify", "team", "endpointurl", store.address)
    pushed(folder, "first\n")
    return folder


def folders(project: Path) -> list[Path]:
    return sorted((project / "backups").iterdir())


def test_everything_is_as_it_was(toy: Any, tmp_path, databases, store, team, clone, monkeypatch):
    """A champion that was promoted, a variable of Prefect, and data of two versions."""
    project, arm = tmp_path / "project", tmp_path / "arm"
    project.mkdir()
    shutil.copy(ROOT / "Makefile", project)
    feedback = FeedbackConfig(store=team["GENARM_VOTES"])
    votes.Store(feedback, project).close()  # its tables
    base = resolve(str(toy.folder))
    make_arm(arm, base, toy.model, seed=0)
    write_card(arm, replace(card(base), dimension=DIMENSION))

    def champion(to: Path) -> dict[str, bytes]:
        of_project = registry.connect(project)
        found = of_project.champions([DIMENSION])[DIMENSION]
        assert found is not None
        of_project.fetch(DIMENSION, found, to)
        return {f.relative_to(to).as_posix(): f.read_bytes() for f in to.rglob("*") if f.is_file()}

    serving = (team["MLFLOW_BACKEND_STORE_URI"], tmp_path, 1, "s3://mlflow")
    with prefect_server(team["PREFECT_SERVER_DATABASE_CONNECTION_URL"], tmp_path) as prefect:
        post(f"{prefect}/variables/", '{"name": "kept", "value": "here"}')
    with mlflow_on(*serving) as mlflow:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow)
        of_project = registry.connect(project)
        of_project.register(DIMENSION, arm, metrics=METRICS)
        promote(of_project, arm)
        before = champion(tmp_path / "before")
        first = make(project, team, "backup")  # while it serves
        assert first.returncode == 0, first.stderr
        pushed(clone, "second\n")
        second = make(project, team, "backup")
        assert second.returncode == 0, second.stderr
        rows = {name: databases.rows(name) for name in ("mlflow", "prefect")}
    stored, objects = store.objects("mlflow"), store.objects("dvc")
    assert before and stored and "kept" in databases.sql("prefect", "select name from variable")

    # Three objects to begin with, a list of files and two files; then another list and one more file.
    assert "DVC remote: 3 objects, 200.1 kB; copied 3 objects, 200.1 kB" in first.stdout
    assert "DVC remote: 5 objects, 200.3 kB; copied 2 objects, " in second.stdout
    older, backup = folders(project)
    assert backup.stat().st_mode & 0o777 == 0o700
    large = next(f for f in (older / "dvc").rglob("*") if f.is_file() and f.stat().st_size == 200_000)
    assert (backup / large.relative_to(older)).samefile(large)

    refused = make(project, team, "restore", f"FROM={backup}")
    assert refused.returncode and "is not empty: it has" in refused.stderr
    databases.lose()
    refused = make(project, team, "restore", f"FROM={backup}")
    assert refused.returncode and "feedback.db is there already" in refused.stderr
    shutil.rmtree(tmp_path / "votes")
    refused = make(project, team, "restore", f"FROM={backup}")
    assert refused.returncode and "s3://mlflow is not empty" in refused.stderr
    assert not databases.rows("mlflow")
    store.remove("mlflow", *stored)
    store.remove("dvc", *sorted(objects)[1:])  # one is left, and is not copied again
    shutil.rmtree(older)  # what the newer one shares with it stays
    done = make(project, team, "restore", f"FROM={backup}")
    assert done.returncode == 0, done.stderr
    assert "DVC remote: 5 objects; copied 4 objects, " in done.stdout
    assert {name: databases.rows(name) for name in ("mlflow", "prefect")} == rows
    assert store.objects("mlflow") == stored and store.objects("dvc") == objects
    votes.Store(feedback, project).close()  # opens what is whole
    data = {file.name: file.read_bytes() for file in (clone / "data").iterdir()}
    shutil.rmtree(clone / "data")
    shutil.rmtree(clone / ".dvc" / "cache")
    dvc(clone, "pull")
    assert {file.name: file.read_bytes() for file in (clone / "data").iterdir()} == data
    with mlflow_on(*serving) as mlflow:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow)
        assert champion(tmp_path / "after") == before
