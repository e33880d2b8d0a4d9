"""Which MLflow store a project uses, read from its address without importing MLflow."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from genarm.system.env import local_tracking_uri
from genarm.system.redact import redact_url


@dataclass(frozen=True, slots=True)
class TrackingAddress:
    """The address of an MLflow store: a server, an SQLite file or another database."""

    uri: str

    @property
    def kind(self) -> str:
        """The scheme without a driver: `http`, `sqlite`, `postgresql`; empty for a plain path."""
        scheme = re.match(r"([A-Za-z][A-Za-z0-9.-]*)(\+[^:]*)?:", self.uri)
        return scheme[1].lower() if scheme else ""

    @property
    def is_server(self) -> bool:
        """Whether an MLflow server answers at this address, rather than a database."""
        return self.kind in ("http", "https")

    @property
    def database(self) -> Path | None:
        """The SQLite file; None for any other store."""
        if self.kind != "sqlite" or ":///" not in self.uri:
            return None
        return Path(self.uri.partition(":///")[2].partition("?")[0])

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
