"""Backups: what was saved comes back byte by byte, and only into what is empty."""

import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from registry_server import mlflow_on
from registry_toys import DIMENSION, METRICS, promote
from ruamel.yaml import YAML
from toy_arms import card, make_arm
from whole_postgres import PASSWORD, programs, whole_postgres

from genarm import registry
from genarm.errors import ConfigError, PipelineError, Unreachable
from genarm.models import resolve
from genarm.models.arm import write_card
from genarm.operations.backup import FILES, SUMS, check, restore, save
from genarm.system.files import sha256

ROOT = Path(__file__).parents[2]
LOGIN = "admin:ofPrefect1"


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """What a backup looks like."""
    folder = tmp_path / "backup"
    for name in ("mlflow.dump", "prefect.dump", f"{FILES}/1/a model/weights", f"{FILES}/1/b"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    names = sorted(f.relative_to(folder).as_posix() for f in folder.rglob("*") if f.is_file())
    (folder / SUMS).write_text("".join(f"{sha256(folder / name)}  {name}\n" for name in names))
    return folder


def settings(files: Path, socket: Path, **of_roles: str) -> dict[str, str]:
    """The environment of the servers; roles have the names of their databases."""
    where = {name: f"://{name}:{word}@/{name}?host={socket}" for name, word in of_roles.items()}
    return {
        "MLFLOW_BACKEND_STORE_URI": f"postgresql{where['mlflow']}",
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": f"postgresql+asyncpg{where['prefect']}",
        "MLFLOW_ARTIFACTS_DESTINATION": str(files),
    }


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (lambda f: (f / "mlflow.dump").write_text("mlflow.dumb"), "mlflow.dump was altered or cut short"),
        (lambda f: (f / FILES / "1/b").unlink(), "1/b is missing"),
        (lambda f: (f / FILES / "2").write_text(""), f"2 is not in {SUMS}"),
        (lambda f: (f / SUMS).unlink(), f"is no backup: {SUMS} cannot be read"),
    ],
)
def test_a_backup_that_is_not_as_it_was_saved_is_refused_before_anything_is_touched(harm, told, saved):
    assert check(saved) == 4
    assert subprocess.run(["sha256sum", "--check", "--quiet", SUMS], cwd=saved).returncode == 0
    harm(saved)
    nowhere = settings(saved / "no store", saved / "no socket", mlflow="x", prefect="x")
    with pytest.raises(PipelineError, match=re.escape(told)):
        restore(saved, nowhere)


def test_what_is_not_set_or_no_postgresql_is_told(tmp_path):
    whole = settings(tmp_path, tmp_path, mlflow="x", prefect="x")
    for name in whole:
        with pytest.raises(ConfigError, match=f"^{name} not set"):
            save(tmp_path, {k: v for k, v in whole.items() if k != name})
    with pytest.raises(ConfigError, match="only PostgreSQL"):
        save(tmp_path, whole | {"MLFLOW_BACKEND_STORE_URI": "sqlite:///mlflow.db"})
    with pytest.raises(ConfigError, match="there is nothing at"):
        save(tmp_path, whole | {"MLFLOW_ARTIFACTS_DESTINATION": str(tmp_path / "misspelt")})
    assert not list(tmp_path.iterdir())


def test_a_database_that_does_not_answer_leaves_nothing_and_no_password_in_the_error(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(programs()), prepend=os.pathsep)
    with pytest.raises(Unreachable, match="pg_dump failed") as error:
        save(tmp_path / "backups", settings(tmp_path, tmp_path, mlflow="hunter22", prefect="x"))
    assert "hunter22" not in str(error.value) and not list((tmp_path / "backups").iterdir())


class Databases:
    """The databases of compose.yaml in a real server, made by its own text."""

    def __init__(self, socket: Path) -> None:
        self.socket = socket
        text = YAML(typ="safe").load((ROOT / "compose.yaml").read_text())["configs"]["databases"]["content"]
        self.made = re.sub(r"\$\{(\w+?)_\w+:[^}]*\}", lambda m: f"of{m[1].lower()}1", text)
        self.environment = {**os.environ, "PGPASSWORD": PASSWORD, "PGUSER": "postgres", "PGHOST": str(socket)}
        self.sql("postgres", self.made)

    def sql(self, database: str, text: str) -> str:
        command = ["psql", "--no-psqlrc", "-qAt", "-v", "ON_ERROR_STOP=1", "-d", database]
        done = subprocess.run(command, env=self.environment, input=text, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def lose(self) -> None:
        self.sql("postgres", "drop database mlflow with (force);\ndrop database prefect with (force);")
        again = "\n".join(line for line in self.made.splitlines() if not line.startswith("create role"))
        self.sql("postgres", again)

    def rows(self, database: str) -> dict[str, str]:
        """A hash of all rows of every table."""
        tables = "select format('%I', tablename) from pg_tables where schemaname = 'public' order by 1"
        return {
            table: self.sql(
                database, f"select count(*), md5(string_agg(t::text, '|' order by t::text)) from {table} t"
            )
            for table in self.sql(database, tables).split()
        }


@pytest.fixture
def databases(monkeypatch) -> Iterator[Databases]:
    monkeypatch.setenv("PATH", str(programs()), prepend=os.pathsep)
    with whole_postgres() as socket:
        yield Databases(socket)


@contextmanager
def prefect_server(database: str, folder: Path) -> Iterator[str]:
    """A server with a login on a database: the address of its API."""
    port = 4287
    command = [Path(sys.executable).with_name("prefect"), "server", "start", "--port", str(port)]
    shell = {"PREFECT_HOME": str(folder / "prefect"), "PREFECT_SERVER_API_AUTH_STRING": LOGIN}
    shell |= {"PREFECT_SERVER_DATABASE_CONNECTION_URL": database, "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
    with (folder / "prefect.log").open("w") as log:
        server = subprocess.Popen(command, env={**os.environ, **shell}, stdout=log, stderr=log)
    try:
        for _ in range(240):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/api/health", timeout=2).close()
                break
            except OSError:
                assert server.poll() is None, (folder / "prefect.log").read_text()
                time.sleep(1)
        yield f"http://127.0.0.1:{port}/api"
    finally:
        server.terminate()
        server.wait()


def post(address: str, body: str) -> None:
    login = {
        "Authorization": f"Basic {b64encode(LOGIN.encode()).decode()}",
        "Content-Type": "application/json",
    }
    urllib.request.urlopen(urllib.request.Request(address, body.encode(), login), timeout=30).close()


def content(folder: Path) -> dict[str, bytes]:
    return {f.relative_to(folder).as_posix(): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


@pytest.mark.slow
def test_saved_lost_and_restored_everything_is_as_it_was(toy: Any, tmp_path, databases, monkeypatch):
    """By `make`, as an operator does: real PostgreSQL, MLflow and Prefect, a champion that was promoted."""
    files, project, arm = tmp_path / "files", tmp_path / "project", tmp_path / "arm"
    project.mkdir()
    shutil.copy(ROOT / "Makefile", project)
    env = settings(files, databases.socket, mlflow="ofmlflow1", prefect="ofprefect1")
    base = resolve(str(toy.folder))
    make_arm(arm, base, toy.model, seed=0)
    write_card(arm, replace(card(base), dimension=DIMENSION))

    def make(*words: str) -> "subprocess.CompletedProcess[str]":
        backup = f"BACKUP={sys.executable} -m genarm.operations.backup"
        command = ["make", *words, backup]
        return subprocess.run(command, cwd=project, env={**os.environ, **env}, capture_output=True, text=True)

    def champion(to: Path) -> dict[str, bytes]:
        store = registry.connect(project)
        found = store.champions([DIMENSION])[DIMENSION]
        assert found is not None
        store.fetch(DIMENSION, found, to)
        return content(to)

    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    with prefect_server(env["PREFECT_SERVER_DATABASE_CONNECTION_URL"], tmp_path) as prefect:
        post(f"{prefect}/variables/", '{"name": "kept", "value": "here"}')
    with mlflow_on(env["MLFLOW_BACKEND_STORE_URI"], tmp_path, workers=1) as mlflow:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow)
        store = registry.connect(project)
        store.register(DIMENSION, arm, metrics=METRICS)
        promote(store, arm)
        before = champion(tmp_path / "before")
        done = make("backup")  # while it serves
        assert done.returncode == 0, done.stderr
        rows = {name: databases.rows(name) for name in ("mlflow", "prefect")}
    stored = content(files)
    assert before and stored and "kept" in databases.sql("prefect", "select name from variable")
    (backup,) = (project / "backups").iterdir()
    assert backup.stat().st_mode & 0o777 == 0o700

    refused = make("restore", f"FROM={backup}")
    assert refused.returncode and "is not empty: it has" in refused.stderr
    databases.lose()
    refused = make("restore", f"FROM={backup}")
    assert refused.returncode and f"{files} is not empty" in refused.stderr
    assert not databases.rows("mlflow")
    shutil.rmtree(files)
    done = make("restore", f"FROM={backup}")
    assert done.returncode == 0, done.stderr
    assert {name: databases.rows(name) for name in ("mlflow", "prefect")} == rows
    assert content(files) == stored
    with mlflow_on(env["MLFLOW_BACKEND_STORE_URI"], tmp_path, workers=1) as mlflow:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow)
        assert champion(tmp_path / "after") == before
