"""Opening an MLflow store: whether its server or database answers, its driver, and a new local database.

MLflow would retry a silent server for minutes and a silent database for an hour before it gives up.
"""

import re
import shlex
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from genarm.errors import RegistryError, Unreachable
from genarm.registry.tracking import DATABASES, ENCODE, HINT, TrackingAddress
from genarm.system.redact import redact

if TYPE_CHECKING:
    from sqlalchemy import Engine

CREATION_SECONDS = 300.0  # longer than the schema takes on a slow machine
PROBE_SECONDS = 3.0
FIX = "start it (mlflow/README.md), correct MLFLOW_TRACKING_URI, or unset it for the local store"
PACKAGES = {  # the package of a driver's module, where it has another name
    "MySQLdb": "mysqlclient",
    "mysql": "mysql-connector-python",
    "psycopg": "psycopg[binary]",
    "psycopg2": "psycopg2-binary",
}
# databases that MLflow does not take, and registries of another kind: names there have three parts
ELSEWHERE = ("databricks", "databricks-uc", "mariadb", "mongodb", "oracle", "postgres", "redis", "uc")
WITHOUT_SCHEME = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]+:\d+(?:/.*)?")  # localhost:5000
AROUND = " \t\r\n\"'"  # what a shell or an editor leaves around an address
TIMEOUTS = {  # what each driver calls the seconds in which a connection must stand
    "mysqlconnector": "connection_timeout",
    "mysqldb": "connect_timeout",
    "psycopg": "connect_timeout",
    "psycopg2": "connect_timeout",
    "pymssql": "login_timeout",
    "pymysql": "connect_timeout",
    "pyodbc": "timeout",
}


def check_form(address: TrackingAddress) -> None:
    """Raise RegistryError for an address that no store of MLflow has, before anything is asked or made."""
    uri = address.uri
    if uri != uri.strip(AROUND):
        raise RegistryError(
            f"MLFLOW_TRACKING_URI begins or ends with a space or a quotation mark: {address.shown!r}",
            hint="remove it",
        )
    if WITHOUT_SCHEME.fullmatch(uri):
        raise RegistryError(
            f"{address.shown} does not say how the server is spoken to",
            hint=f"export MLFLOW_TRACKING_URI=http://{address.shown}",
        )
    if address.kind in DATABASES and not uri.startswith(address.kind):
        raise RegistryError(
            f"{address.shown} is not read by MLflow unless it begins with {address.kind}, in lower case",
            hint="correct MLFLOW_TRACKING_URI",
        )
    if (address.kind or uri) in ELSEWHERE:
        raise RegistryError(f"MLflow keeps no store at {address.shown}", hint=HINT)


def check_answers(address: TrackingAddress) -> None:
    """Ask a server or database whether it is there; an SQLite file has nobody to ask.

    Raises Unreachable, within seconds, where nothing answers, and RegistryError for an address that cannot be
    used: its kind is unknown, its driver is not installed, or it would not outlive the process.
    """
    check_form(address)
    if address.is_server:
        _probe_server(address)
    elif address.kind == "sqlite":
        if address.database is None:
            raise RegistryError(
                f"{address.shown} is a database in memory, which is lost when the command ends",
                hint="name a file: sqlite:////FOLDER/mlflow.db, or unset MLFLOW_TRACKING_URI",
            )
        _probe_file(address.database)
    elif address.kind in DATABASES:
        _probe_database(address)


def _probe_server(address: TrackingAddress) -> None:
    """Accept any answer."""
    import requests

    try:
        requests.get(f"{address.uri.rstrip('/')}/health", timeout=PROBE_SECONDS, stream=True).close()
    except (requests.exceptions.InvalidURL, UnicodeError):  # their text quotes the address
        raise RegistryError(
            f"{address.shown} is no address of a server",
            hint=ENCODE,
        ) from None
    except requests.RequestException as error:
        raise Unreachable(
            f"no MLflow server answers at {address.shown} ({type(error).__name__})", hint=FIX
        ) from None


def _probe_file(database: Path) -> None:
    """Read one row of a database that is there, as MLflow's own schema has it."""
    if not database.is_file() or not database.stat().st_size:
        return
    try:
        with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            connection.execute("select count(*) from sqlite_master").fetchone()
    except sqlite3.OperationalError:
        return  # locked, or out of reach: MLflow waits, or says so
    except sqlite3.DatabaseError as error:
        raise RegistryError(
            f"{database} is damaged, or no database: {error}",
            hint=f"bring it back from a copy, or start anew: mv {shlex.quote(str(database))} "
            f"{shlex.quote(f'{database}.bad')}",
        ) from None


def check_driver(address: TrackingAddress) -> "Engine":
    """What connects to a database, without connecting. Raises RegistryError where there is no driver."""
    from sqlalchemy import create_engine
    from sqlalchemy.exc import NoSuchModuleError
    from sqlalchemy.pool import NullPool

    url = address.url
    try:
        dialect = url.get_dialect()
        if dialect.is_async:
            raise RegistryError(
                f"{address.shown} names an asynchronous driver, which MLflow cannot use",
                hint=f"leave it out: {address.kind}://HOST/NAME",
            )
        driver = dialect.driver
        timeout = TIMEOUTS.get(driver)
        arguments: dict[str, Any] = {}
        if timeout and timeout not in url.query:
            arguments[timeout] = int(PROBE_SECONDS)
        return create_engine(url, poolclass=NullPool, connect_args=arguments)
    except NoSuchModuleError:
        raise RegistryError(f"MLflow keeps no store at {address.shown}", hint=HINT) from None
    except ImportError as error:
        module = (error.name or driver).partition(".")[0]
        package = PACKAGES.get(module, module)
        raise RegistryError(
            f"{address.shown} needs the Python package {package}, which is not installed",
            hint=f"python -m pip install '{package}'",
        ) from None


def _probe_database(address: TrackingAddress) -> None:
    """Connect once, as MLflow will."""
    from sqlalchemy.exc import SQLAlchemyError

    engine = check_driver(address)
    try:
        engine.connect().close()
    except SQLAlchemyError as error:
        cause = redact(str(getattr(error, "orig", None) or error)).strip().partition("\n")[0]
        raise Unreachable(f"no database answers at {address.shown}: {cause}", hint=FIX) from None


def create_database(address: TrackingAddress, file: Path) -> None:
    """Make a new SQLite store: its schema, under a lock, in another file that is then renamed."""
    if _is_made(file):
        return
    from mlflow import MlflowClient

    file.parent.mkdir(parents=True, exist_ok=True)
    # Processes that create the same schema at the same time all fail in its migrations: hence the lock. A
    # process killed halfway leaves a schema that no later start can complete: hence the rename.
    with FileLock(file.with_suffix(".lock"), timeout=CREATION_SECONDS):
        if _is_made(file):
            return
        unfinished = file.with_name(f"new-{file.name}")
        _remove(unfinished)
        uri = address.with_database(unfinished)
        try:
            client = MlflowClient(uri, uri)
            client.search_experiments(max_results=1)
            client.search_registered_models(max_results=1)
            unfinished.rename(file)
        finally:
            _remove(unfinished)


def _is_made(file: Path) -> bool:
    return file.is_file() and file.stat().st_size > 0


def _remove(database: Path) -> None:
    for suffix in ("", "-journal", "-wal", "-shm"):
        database.with_name(f"{database.name}{suffix}").unlink(missing_ok=True)
