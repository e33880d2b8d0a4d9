"""The database of Prefect's temporary server: whatever would stop that server is found before it starts."""

import importlib.util
import os
import sqlite3
from contextlib import closing
from pathlib import Path

from genarm.doctor.prefect_server import home, setting
from genarm.pipeline.check_result import CheckResult, fail, ok

CHECK = "prefect database"
PATIENCE = 3.0  # seconds for whoever writes at the moment; a server that runs holds the lock for milliseconds
MIGRATIONS = Path("server", "database", "_migrations", "versions", "sqlite")


def prefect_database(root: Path) -> list[CheckResult]:
    """Check that the SQLite file can be read and written, and that no newer Prefect has changed it."""
    path = database_file()
    if path is None or setting("PREFECT_API_URL"):
        return [ok(CHECK, "kept by a server")]
    try:
        exists = path.exists()
    except PermissionError as error:
        return [fail(CHECK, f"{path} cannot be reached: {error.strerror}", f"chmod u+x {path.parent}")]
    if not exists:
        return [ok(CHECK, f"made by the first run, at {path}")]
    if not path.is_file():
        return [fail(CHECK, f"{path} is not a file", f"mv {path} {path}.other")]
    for file in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
        if file.exists() and not os.access(file, os.R_OK | os.W_OK):
            return [fail(CHECK, f"{file} cannot be written to", f"chmod u+rw {file}")]
    return [_examined(path)]


def database_file() -> Path | None:
    """Where the temporary server keeps its runs; None where it is told to use another kind of database."""
    names = ("PREFECT_SERVER_DATABASE_CONNECTION_URL", "PREFECT_API_DATABASE_CONNECTION_URL")
    url = next((value for name in names if (value := setting(name))), "")
    if not url:
        return home() / "prefect.db"
    scheme, separator, path = url.partition(":///")
    path = path.partition("?")[0]
    is_file = separator and scheme.startswith("sqlite") and path and ":memory:" not in path
    return Path(path) if is_file else None


def _examined(path: Path) -> CheckResult:
    try:
        with closing(sqlite3.connect(path, timeout=PATIENCE, isolation_level=None)) as database:
            database.execute("begin immediate")  # what every write begins with; nothing is written
            database.execute("rollback")
            tables = database.execute("select name from sqlite_master where name = 'alembic_version'")
            if tables.fetchone() is None:
                return ok(CHECK, f"{path}, to be filled by the next run")
            made_by = [row[0] for row in database.execute("select version_num from alembic_version")]
    except sqlite3.DatabaseError as error:  # the parent of OperationalError
        return _unusable(path, error)
    known = known_revisions()
    if unknown := [revision for revision in made_by if known and revision not in known]:
        detail = f"{path} was made by a newer Prefect than this one (revision {unknown[0]})"
        return fail(CHECK, detail, f"python -m pip install --upgrade prefect, or begin anew: {_aside(path)}")
    return ok(CHECK, str(path))


def _unusable(path: Path, error: sqlite3.DatabaseError) -> CheckResult:
    code = getattr(error, "sqlite_errorcode", None)
    if code is not None and code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        who = ", ".join(f"process {pid}" for pid in lock_holders(path)) or "another process"
        return fail(CHECK, f"{path} is locked by {who}", "wait for it to end, or stop it")
    if code is not None and code & 0xFF in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN):
        return fail(CHECK, f"{path} cannot be written to: {error}", f"chmod u+rwx {path.parent}")
    if code is not None and code & 0xFF == sqlite3.SQLITE_FULL:
        return fail(CHECK, f"{path}: the disk is full", "dvc gc --workspace")
    # The history of runs is all that it holds; versions and decisions are in MLflow.
    return fail(CHECK, f"{path} is damaged: {error}", f"begin anew: {_aside(path)}")


def _aside(path: Path) -> str:
    return f"mv {path} {path}.old"


def known_revisions() -> set[str]:
    """The revisions of the database that the installed Prefect knows, from the names of its migrations."""
    spec = importlib.util.find_spec("prefect")  # finds it without importing it
    for folder in (spec.submodule_search_locations if spec else None) or []:
        # 2022_04_25_135207_b75d279ba985_what_it_does.py
        files = Path(folder, MIGRATIONS).glob("[0-9]*_*.py")
        return {parts[4] for file in files if len(parts := file.stem.split("_")) > 4}
    return set()


def lock_holders(path: Path) -> list[int]:
    """The processes that hold a lock on a database or the files beside it; empty where that is unknown."""
    try:
        locks = Path("/proc/locks").read_text(encoding="ascii").splitlines()
        inodes = {str(file.stat().st_ino) for file in path.parent.glob(f"{path.name}*")}
    except OSError:  # not on Linux
        return []
    # 1: POSIX  ADVISORY  WRITE 4242 00:31:123456 1073741825 1073742335
    held = {int(words[-4]) for line in locks if (words := line.split())[-3].rsplit(":", 1)[-1] in inodes}
    return sorted(pid for pid in held if pid > 0 and pid != os.getpid())
