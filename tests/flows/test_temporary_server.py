"""Prefect's temporary server, real: it starts past any proxy, and where it does not its cause is told."""

import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GENARM = "from genarm.cli.main import main; main()"
START = """
import sys
from genarm.cli.console import flow_root
from genarm.errors import GenarmError
from genarm.flows import temporary_server
try:
    flow_root()
    temporary_server.start()
    from prefect.client.orchestration import get_client
    from prefect.server.api.server import SubprocessASGIServer
    with get_client(sync_client=True) as client:
        print("asked", client.hello().status_code, client.api_url, SubprocessASGIServer().server_process.pid)
except GenarmError as error:
    print("refused:", error)
"""


@pytest.fixture
def project(tmp_path):
    shutil.copy(ROOT / "params.yaml", tmp_path)
    return tmp_path


def python(folder: Path, code: str, *words: str, **environment: str) -> tuple[str, float]:
    """What a Python of a shell without settings prints, and the seconds that it took."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_") and "proxy" not in k.lower()}
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", code, *words], cwd=folder, env=kept | environment, text=True, timeout=120,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    return done.stdout, time.monotonic() - began


@pytest.mark.parametrize("words", [["run"], ["data", "somewhere.jsonl"]], ids=" ".join)
def test_outside_a_project_nothing_is_started_or_left(words, tmp_path):
    printed, _ = python(tmp_path, GENARM, *words)
    assert "this is no project" in printed and "Traceback" not in printed
    assert not [*tmp_path.iterdir()]


def test_a_locked_database_stops_a_run_at_once(project):
    (project / ".prefect").mkdir()
    holder = sqlite3.connect(project / ".prefect" / "prefect.db", isolation_level=None)
    try:
        holder.execute("begin immediate")
        printed, seconds = python(project, GENARM, "run")
    finally:
        holder.close()
    assert "prefect.db is locked by" in printed and "Traceback" not in printed and seconds < 15


@pytest.mark.slow
def test_a_server_that_does_not_import_is_told(project):
    (project / "fastapi.py").write_text("raise TypeError('Body() got an unexpected keyword argument')\n")
    printed, _ = python(project, START, PYTHONPATH=str(project))
    assert "refused: Prefect's server does not import: TypeError: Body()" in printed


@pytest.mark.slow
@pytest.mark.parametrize(
    "variable", ["PREFECT_LOGGING_LEVEL", "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS"]
)
def test_a_wrong_setting_is_told(variable, project):
    printed, _ = python(project, START, **{variable: "LOUD"})
    assert "refused: Prefect does not import" in printed and "PREFECT_ variables" in printed


@pytest.mark.slow
def test_a_profile_that_does_not_parse_is_named(project):
    (project / ".prefect").mkdir(exist_ok=True)
    (project / ".prefect" / "profiles.toml").write_text("active = \n")
    printed, _ = python(project, START)
    assert "refused: Prefect does not import" in printed and ".prefect/profiles.toml" in printed


@pytest.mark.slow
def test_a_server_that_ends_is_told_with_its_cause(project):
    """Prefect itself would restart it without end."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
        url = f"postgresql+asyncpg://me:s3cret@{address}/prefect"
        printed, seconds = python(project, START, PREFECT_API_DATABASE_CONNECTION_URL=url)
    assert "ended as it started" in printed and "Connect" in printed and "s3cret" not in printed
    assert seconds < 60


@pytest.mark.slow
def test_a_server_does_not_outlive_a_run_that_was_killed(project):
    printed, _ = python(project, START + "\nimport os; sys.stdout.flush(); os.kill(os.getpid(), 9)")
    pid, end = int(printed.split()[-1]), time.monotonic() + 30
    while Path(f"/proc/{pid}").exists() and time.monotonic() < end:
        time.sleep(0.5)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.slow
def test_a_proxy_and_a_taken_port_do_not_matter(project):
    with socket.create_server(("127.0.0.1", 0)) as taken, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        ports = [taken.getsockname()[1], free.getsockname()[1]]
        free.close()
        chosen = (  # the first port is taken between its choice and its use
            "from prefect.server.api.server import SubprocessASGIServer as S\n"
            f"ports = {ports}; S.find_available_port = lambda self: ports.pop(0)\n"
        )
        proxy = {name: "http://127.0.0.1:9" for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY")}
        code = START.replace(
            "    temporary_server.start()", f"    exec({chosen!r})\n    temporary_server.start()"
        )
        printed, _ = python(project, code, **proxy)
    assert f"asked 200 http://127.0.0.1:{ports[1]}/api" in printed
    pid = int(printed.split()[-1])
    with pytest.raises(ProcessLookupError):  # it ends with the process that started it
        os.kill(pid, 0)
