"""The team's servers without containers: the databases of compose.yaml, and Prefect with its login."""

import os
import re
import subprocess
import sys
import time
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ruamel.yaml import YAML
from whole_postgres import PASSWORD

ROOT = Path(__file__).parents[1]
LOGIN = "admin:ofPrefect1"


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


def team_settings(files: str | Path, socket: Path, **of_roles: str) -> dict[str, str]:
    """The environment of the servers; roles have the names of their databases."""
    where = {name: f"://{name}:{word}@/{name}?host={socket}" for name, word in of_roles.items()}
    return {
        "MLFLOW_BACKEND_STORE_URI": f"postgresql{where['mlflow']}",
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": f"postgresql+asyncpg{where['prefect']}",
        "MLFLOW_ARTIFACTS_DESTINATION": str(files),
    }
