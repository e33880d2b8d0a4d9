"""Which MLflow store a project uses, read from its address without importing MLflow."""

import os
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from genarm.errors import RegistryError
from genarm.system.env import local_tracking_uri
from genarm.system.redact import redact_url

if TYPE_CHECKING:
    from sqlalchemy import URL

DATABASES = ("postgresql", "mysql", "sqlite", "mssql")  # what MLflow keeps a store in
ENCODE = "percent-encode the user name and the password: %40 for @, %2F for /, %3A for :"
HINT = "MLFLOW_TRACKING_URI is like http://HOST:5000, sqlite:////FOLDER/mlflow.db or postgresql://HOST/NAME"


@dataclass(frozen=True)
class TrackingAddress:
    """The address of an MLflow store: a server, an SQLite file or another database.

    A database's address is read by SQLAlchemy, as MLflow reads it: nothing in the name of an SQLite file is
    percent-encoded, and a query after it holds settings such as `timeout=60`.
    """

    uri: str

    @property
    def kind(self) -> str:
        """The scheme without a driver: `http`, `sqlite`, `postgresql`; empty for a path, also C:/."""
        scheme = re.match(r"([A-Za-z][A-Za-z0-9.-]+)(\+[^:]*)?:", self.uri)
        return scheme[1].lower() if scheme else ""

    @property
    def is_server(self) -> bool:
        """Whether an MLflow server answers at this address, rather than a database."""
        return self.kind in ("http", "https")

    @cached_property
    def url(self) -> "URL":
        """The address of a database in its parts. Raises RegistryError for one that cannot be read."""
        from sqlalchemy import make_url
        from sqlalchemy.exc import ArgumentError

        try:
            url = make_url(self.uri)
        except (ArgumentError, ValueError):  # their text quotes the address
            url = None
        if self.kind == "sqlite" and (url is None or url.host or url.username):
            raise RegistryError(
                f"{self.shown} is no address of an SQLite file",
                hint="it has three slashes and then the path: sqlite:////FOLDER/mlflow.db",
            )
        # A password with an @ or a slash ends too early, and its rest goes to the host or the name.
        if url is None or (self.kind != "sqlite" and "@" in f"{url.host}{url.database}"):
            raise RegistryError(f"{self.shown} is no address of a database", hint=ENCODE)
        return url

    @property
    def database(self) -> Path | None:
        """The SQLite file; None for any other store, and for one in memory."""
        if self.kind != "sqlite":
            return None
        name = self.url.database or ""
        if name.startswith("file:") and self._is_uri_of_sqlite:
            name = unquote(urlsplit(name).path)
        return None if name in ("", ":memory:") else Path(name)

    def with_database(self, file: Path) -> str:
        """The address of another SQLite file with the same settings."""
        name = str(file)
        if self._is_uri_of_sqlite:
            name = file.absolute().as_uri()
        return self.url.set(database=name).render_as_string(hide_password=False)

    @property
    def _is_uri_of_sqlite(self) -> bool:
        return str(self.url.query.get("uri", "")).lower() in ("true", "1", "yes", "on", "y", "t")

    @property
    def may_exist(self) -> bool:
        """Whether there may be a store: anything but an SQLite file that is not there yet."""
        return self.database is None or self.database.is_file()

    @property
    def shown(self) -> str:
        """The address without user name, password and query, for messages."""
        return redact_url(self.uri)


def tracking_address(root: Path) -> TrackingAddress:
    """`$MLFLOW_TRACKING_URI`, or the SQLite file below the project's folder `mlflow/`."""
    return TrackingAddress(os.environ.get("MLFLOW_TRACKING_URI") or local_tracking_uri(root.resolve()))
