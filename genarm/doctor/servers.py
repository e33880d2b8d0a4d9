"""MLflow and Prefect: which ones a run would talk to, whether they answer, and what sits on their ports.

Neither library is imported, but by `registry`. Addresses may carry passwords: what is shown, and what an
error quotes, is always the address without them.
"""

import base64
import http.client
import importlib.metadata
import os
import re
import socket
import sqlite3
import tomllib
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import unquote, urlsplit

from genarm.config import load_params
from genarm.doctor.finding import Finding, fail, ok, warn
from genarm.errors import GenarmError, Unreachable
from genarm.system.layout import Layout

PATIENCE = 3.0  # seconds for a server to answer
STARTUP = "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS"


def mlflow(root: Path) -> list[Finding]:
    """Whether the tracking store can be read and written."""
    uri = _tracking_uri(root)
    parts = urlsplit(uri)
    kind = parts.scheme.split("+")[0]
    if kind == "sqlite":
        return [_sqlite(uri)]
    if kind in ("http", "https"):
        return _mlflow_server(uri)
    if kind in ("", "file"):
        detail = f"{shown(uri)} is a folder of files, which MLflow no longer takes as a tracking store"
        return [fail("mlflow", detail, "unset MLFLOW_TRACKING_URI")]
    try:
        silent = parts.hostname and parts.port and not _listens(parts.hostname, parts.port, PATIENCE)
    except ValueError:  # no number where the port should be
        return [
            fail(
                "mlflow", f"{shown(uri)} is no address", "percent-encode the password in MLFLOW_TRACKING_URI"
            )
        ]
    if silent:
        mend = "start the database, or: unset MLFLOW_TRACKING_URI"
        return [fail("mlflow", f"nothing answers at {shown(uri)}", mend)]
    return [ok("mlflow", f"{shown(uri)} (of a {kind} address no more is checked)")]


def _tracking_uri(root: Path) -> str:
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{root / 'mlflow' / 'mlflow.db'}"


def _database(uri: str) -> Path:
    return Path(uri.split(":///", 1)[-1].split("?")[0])


def _sqlite(uri: str) -> Finding:
    path = _database(uri)
    if not path.is_absolute():
        detail = f"{uri} is relative: each folder that a command starts in gets a database of its own"
        return warn("mlflow", detail, "unset MLFLOW_TRACKING_URI")
    if not path.exists():
        folder = next(p for p in path.parents if p.exists())
        if not os.access(folder, os.W_OK | os.X_OK):
            return fail("mlflow", f"{path} cannot be made: {folder} is read-only", f"chmod u+wx {folder}")
        return ok("mlflow", f"{path}: made by the first run")
    try:
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=1) as database:
            database.execute("select version_num from alembic_version").fetchone()
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            return warn("mlflow", f"{path} is locked by another process", "wait for it, or use a server")
        return fail("mlflow", f"{path} is no MLflow database: {error}", f"mv {path} {path}.bad")
    except sqlite3.DatabaseError as error:
        return fail("mlflow", f"{path} is damaged: {error}", f"mv {path} {path}.bad")
    if not os.access(path, os.W_OK):
        return fail("mlflow", f"{path} cannot be written to", f"chmod u+w {path}")
    return ok("mlflow", f"{path}: {path.stat().st_size / (1 << 20):.1f} MiB")


def _mlflow_server(uri: str) -> list[Finding]:
    secret = os.environ.get("MLFLOW_TRACKING_TOKEN"), os.environ.get("MLFLOW_TRACKING_USERNAME", "")
    login = f"{secret[1]}:{os.environ.get('MLFLOW_TRACKING_PASSWORD', '')}" if secret[1] else None
    try:
        status, _ = get(uri, "/health", bearer=secret[0], login=login)
        _, version = get(uri, "/version", bearer=secret[0], login=login)
    except Unreachable as error:
        return [
            fail(
                "mlflow",
                error.message,
                "docker compose -f mlflow/compose.yaml up -d, or: unset MLFLOW_TRACKING_URI",
            )
        ]
    if status != 200:
        return [
            fail("mlflow", f"{shown(uri)}/health answers {status}", "check MLFLOW_TRACKING_URI and its login")
        ]
    return [_versions("mlflow", shown(uri), version.strip())]


def registry(root: Path) -> list[Finding]:
    """What a crash left half done, and where champions.json is behind; opens MLflow, which takes seconds."""
    uri = _tracking_uri(root)
    if uri.startswith("sqlite") and not _database(uri).exists():
        return [ok("registry", "empty: there is no store yet")]
    from genarm.registry import connect

    try:
        store, dimensions = connect(root), load_params(Layout(root).params).dimensions
        half = [row for row in store.list(dimensions) if row["promotion"] == "pending"]
        drift = store.drift(Layout(root).champions, dimensions)
    except GenarmError as error:
        return [fail("registry", error.message, error.hint or "genarm registry list")]
    if half:
        detail = f"the promotion of {half[0]['dimension']} version {half[0]['version']} was left half done"
        return [fail("registry", detail, "genarm registry reconcile")]
    if drift:
        return [warn("registry", "; ".join(drift), "genarm registry reconcile")]
    return [ok("registry", f"{len(store.list(dimensions))} versions, nothing left half done")]


def prefect(root: Path) -> list[Finding]:
    """Which server the flows would use, whether it answers, and whether it is of our version."""
    uri = os.environ.get("PREFECT_API_URL") or _profile().get("PREFECT_API_URL")
    if not uri:
        patience = os.environ.get(STARTUP, "20")
        if not patience.isdigit() or int(patience) < 60:
            detail = f"a temporary server for each run, with {patience} s to start: few on a small machine"
            return [warn("prefect", detail, f"export {STARTUP}=120")]
        return [ok("prefect", "a temporary server for each run; schedules need: prefect server start")]
    bearer, login = os.environ.get("PREFECT_API_KEY"), os.environ.get("PREFECT_API_AUTH_STRING")
    try:
        status, _ = get(uri, "/health", bearer=bearer, login=login)
        code, version = get(uri, "/admin/version", bearer=bearer, login=login)
    except Unreachable as error:
        return [fail("prefect", error.message, "prefect server start, or: unset PREFECT_API_URL")]
    if status != 200:
        mend = "set PREFECT_API_URL to an address that ends in /api"
        return [fail("prefect", f"{shown(uri)}/health answers {status}", mend)]
    if code != 200:
        return [ok("prefect", f"{shown(uri)} answers; it does not tell its version")]
    return [_versions("prefect", shown(uri), version.strip().strip('"'))]


def prefect_home(root: Path) -> list[Finding]:
    """Where Prefect keeps its database: one a project, or two projects see each other's runs."""
    home = _prefect_home()
    exists = next(p for p in (home, *home.parents) if p.exists())
    if not os.access(exists, os.W_OK | os.X_OK):
        return [fail("prefect home", f"{home} cannot be written to", f"chmod u+wx {exists}")]
    if root not in home.parents:
        mend = f"export PREFECT_HOME={root / '.prefect'}"
        return [warn("prefect home", f"{home} is outside the project, and shared with others", mend)]
    return [ok("prefect home", str(home))]


def ports(root: Path) -> list[Finding]:
    """What sits where the servers of Prefect and MLflow start by default."""
    return [
        _port(4200, "prefect", "/api/admin/version", "prefect server start --port 4201"),
        _port(5000, "mlflow", "/version", "mlflow server --port 5001"),
    ]


def _port(number: int, library: str, path: str, mend: str) -> Finding:
    check = f"port {number}"
    if not _listens("127.0.0.1", number, 0.3):
        return ok(check, f"free for {library}")
    try:
        status, text = get(f"http://127.0.0.1:{number}", path, patience=1.0)
    except Unreachable:
        status, text = 0, ""
    version = text.strip().strip('"')
    if status == 200 and re.fullmatch(r"\d+\.\d+[\w.+-]*", version):
        return ok(check, f"{library} {version} runs there")
    return warn(check, f"taken, and not by {library}", mend)


def get(
    uri: str, path: str, *, bearer: str | None = None, login: str | None = None, patience: float | None = None
) -> tuple[int, str]:
    """Status and start of the body of a GET; a login within the address is sent, and never quoted.

    Raises Unreachable, naming the address without its login.
    """
    parts = urlsplit(uri)
    inside, _, host = parts.netloc.rpartition("@")
    login = unquote(inside) or login
    request = urllib.request.Request(f"{parts.scheme}://{host}{parts.path.rstrip('/')}{path}")
    if bearer:
        request.add_header("Authorization", f"Bearer {bearer}")
    elif login:
        request.add_header("Authorization", f"Basic {base64.b64encode(login.encode()).decode()}")
    try:
        with urllib.request.build_opener(_Stay).open(request, timeout=patience or PATIENCE) as answer:
            return answer.status, answer.read(1024).decode(errors="replace")
    except urllib.error.HTTPError as error:
        return error.code, ""
    except OSError as error:
        raise Unreachable(f"{shown(uri)} does not answer: {getattr(error, 'reason', error)}") from None
    except (http.client.HTTPException, ValueError) as error:  # quotes what it was given
        raise Unreachable(
            f"{shown(uri)} does not answer as a server should: {type(error).__name__}"
        ) from None


class _Stay(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: the login is for the address that the user gave."""

    def redirect_request(self, *answer: object) -> None:
        return None


def shown(uri: str) -> str:
    """An address without login and query."""
    # Up to the last @, wherever it is: a password with a slash in it would end the host part early.
    return re.sub(r"(?<=://).*@", "", uri.partition("?")[0])


def _versions(library: str, where: str, server: str) -> Finding:
    client = importlib.metadata.version(library)
    if server != client:
        mend = f"python -m pip install {library}=={server}"
        return warn(library, f"{where} is {server}, this client {client}: keep them equal", mend)
    return ok(library, f"{where}, {server} like this client")


def _listens(host: str, port: int, patience: float) -> bool:
    try:
        socket.create_connection((host, port), timeout=patience).close()
    except OSError:
        return False
    return True


def _prefect_home() -> Path:
    return Path(os.environ.get("PREFECT_HOME", Path.home() / ".prefect")).expanduser()


def _profile() -> dict[str, str]:
    """The settings of Prefect's active profile."""
    try:
        content = tomllib.loads((_prefect_home() / "profiles.toml").read_text(encoding="utf-8"))
        return content["profiles"][os.environ.get("PREFECT_PROFILE") or content["active"]]
    except (FileNotFoundError, KeyError, tomllib.TOMLDecodeError):
        return {}
