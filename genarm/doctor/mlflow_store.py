"""MLflow: whether the tracking store of the project can be used, and what a crash left in the registry.

Only `registry` imports MLflow. Addresses are shown without logins.
"""

import os
import sqlite3
from pathlib import Path
from urllib.parse import urlsplit

from genarm.doctor.disk import writable
from genarm.doctor.http_get import PATIENCE, compare_versions, get, listens
from genarm.errors import GenarmError, Unreachable
from genarm.pipeline.check_result import CheckResult, fail, ok, warn
from genarm.pipeline.project import Project
from genarm.pipeline.space import existing
from genarm.registry import tracking
from genarm.registry.opening import check_driver, check_form
from genarm.registry.tracking import TrackingAddress
from genarm.system.counted import counted


def mlflow(root: Path) -> list[CheckResult]:
    """Check that the tracking store can be read and written."""
    address = tracking.tracking_address(root)
    try:
        check_form(address)
    except GenarmError as error:
        return [fail("mlflow", error.message, error.hint)]
    if address.database:
        return [_sqlite(address, address.database)]
    if address.is_server:
        return [_server(address)]
    if address.kind in ("", "file"):
        detail = f"{address.shown} is a folder of files, which MLflow no longer takes as a tracking store"
        return [fail("mlflow", detail, "unset MLFLOW_TRACKING_URI")]
    return [_other_database(address)]


def _sqlite(address: TrackingAddress, path: Path) -> CheckResult:
    if not path.is_absolute():
        detail = f"{address.shown} is relative: each folder that a command starts in gets its own database"
        return warn("mlflow", detail, "unset MLFLOW_TRACKING_URI")
    if not path.exists():
        folder = existing(path.parent)
        if not writable(folder):
            return fail("mlflow", f"{path} cannot be created: {folder} is read-only", f"chmod u+wx {folder}")
        return ok("mlflow", f"{path}: made by the first run")
    try:
        with sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=1) as database:
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


def _server(address: TrackingAddress) -> CheckResult:
    token, user = os.environ.get("MLFLOW_TRACKING_TOKEN"), os.environ.get("MLFLOW_TRACKING_USERNAME", "")
    login = f"{user}:{os.environ.get('MLFLOW_TRACKING_PASSWORD', '')}" if user else None
    try:
        status, _ = get(address.uri, "/health", bearer=token, login=login)
        _, version = get(address.uri, "/version", bearer=token, login=login)
    except Unreachable as error:
        fix = "docker compose up --detach, where compose.yaml is, or: unset MLFLOW_TRACKING_URI"
        return fail("mlflow", error.message, fix)
    if status != 200:
        fix = "check MLFLOW_TRACKING_URI and its login"
        return fail("mlflow", f"{address.shown}/health answers {status}", fix)
    return compare_versions("mlflow", address.shown, version.strip())


def _other_database(address: TrackingAddress) -> CheckResult:
    try:
        parts = urlsplit(address.uri)
        silent = parts.hostname and parts.port and not listens(parts.hostname, parts.port, PATIENCE)
    except ValueError:  # no number where the port should be
        fix = "percent-encode the password in MLFLOW_TRACKING_URI"
        return fail("mlflow", f"{address.shown} is no address", fix)
    if silent:
        fix = "start the database, or: unset MLFLOW_TRACKING_URI"
        return fail("mlflow", f"nothing answers at {address.shown}", fix)
    try:
        check_driver(address)
    except GenarmError as error:
        return fail("mlflow", error.message, error.hint)
    return ok("mlflow", f"{address.shown} (nothing else about a {address.kind} database is checked)")


def registry(root: Path) -> list[CheckResult]:
    """Check what a crash left half done, and whether champions.json is behind; takes seconds."""
    if not tracking.tracking_address(root).may_exist:
        return [ok("registry", "empty: there is no store yet")]
    from genarm.registry import connect

    project = Project(root)
    try:
        store, dimensions = connect(root), list(project.params.dimensions)
        if faults := store.inspect(dimensions):
            return [fail("registry", fault.what, fault.fix) for fault in faults]
        drift = store.drift(project.layout.champions, dimensions)
        count, missing = len(store.list(dimensions)), store.missing_runs(dimensions)
    except GenarmError as error:
        return [fail("registry", error.message, error.hint or "genarm registry list")]
    if drift:
        return [warn("registry", "; ".join(drift), "genarm registry reconcile")]
    lost = f"; deleted with their metrics: the runs of {', '.join(missing)}" if missing else ""
    return [ok("registry", f"{counted(count, 'version')}, nothing left half done{lost}")]
