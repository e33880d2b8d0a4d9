"""A database of SQLAlchemy that several processes write to at once, and its errors in words.

SQLite keeps a write-ahead log, so that readers wait for nobody, and overwrites what is deleted.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DatabaseError, DBAPIError, IntegrityError, OperationalError

from genarm.errors import Busy, ConfigError, DataError, GenarmError, Unreachable
from genarm.feedback import schema
from genarm.feedback.address import Address
from genarm.system.redact import redact

SECONDS = 10  # until a connection is there, and that a writer waits for another one
READS = "genarm_reads"  # the execution option of a transaction that writes nothing


class Database:
    """An open database whose tables are those of this version."""

    def __init__(self, address: Address) -> None:
        """Open it, making file and tables where there are none.

        Raises Unreachable where no server answers, DataError for a file that is no such store, ConfigError
        for a driver that is missing.
        """
        self.address = address
        with self._in_words():
            self.engine = _open(address)
        with self.writing() as connection:
            schema.prepare(connection, address.shown)

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that may write; it is undone where the block raises."""
        with self._in_words(), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that reads, and in SQLite keeps no writer waiting."""
        with self._in_words(), self.engine.connect().execution_options(**{READS: True}) as connection:
            yield connection

    def forget_deleted(self) -> None:
        """Let nothing that was deleted stay in SQLite's write-ahead log."""
        if self.address.file:
            with self._in_words(), self.engine.connect() as connection:
                raw: Any = connection.connection.driver_connection
                raw.execute("pragma wal_checkpoint(truncate)").fetchall()

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()

    @contextmanager
    def _in_words(self) -> Iterator[None]:
        try:
            yield
        except (GenarmError, IntegrityError):  # the latter has a meaning that its caller knows
            raise
        except (DBAPIError, OSError) as error:
            raise _told(error, self.address.shown) from None


def _open(address: Address) -> Engine:
    file = address.file
    try:
        if file is None:
            # libpq takes the login from PGUSER, PGPASSWORD or ~/.pgpass where the address has none.
            return create_engine(address.url, pool_pre_ping=True, connect_args={"connect_timeout": SECONDS})
    except ImportError as error:
        package = "psycopg2-binary" if error.name == "psycopg2" else error.name
        raise ConfigError(
            f"{address.shown} needs the Python package {package}, which is not installed",
            hint=f"python -m pip install {package}",
        ) from None
    file.parent.mkdir(parents=True, exist_ok=True)
    os.close(os.open(file, os.O_CREAT | os.O_RDWR, 0o600))  # what people write is for its owner alone
    engine = create_engine(address.url, connect_args={"timeout": SECONDS})

    @event.listens_for(engine, "connect")
    def _set_up(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # `begin` below says when a transaction begins
        for pragma in ("journal_mode=wal", "synchronous=full", "foreign_keys=on", "secure_delete=on"):
            connection.execute(f"pragma {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        reads = connection.get_execution_options().get(READS)
        connection.exec_driver_sql("begin" if reads else "begin immediate")

    return engine


def _told(error: Exception, shown: str) -> GenarmError:
    cause = redact(str(getattr(error, "orig", None) or error)).strip().partition("\n")[0]
    message = f"the store of feedback at {shown}: {cause}"
    if isinstance(error, OSError):
        return ConfigError(message, hint="name a file in a folder that may be written, in feedback.store")
    if "is locked" in cause:
        return Busy(message, hint="another process is writing to it; try again")
    if isinstance(error, OperationalError):
        return Unreachable(message, hint="start its server, or check feedback.store, the disk and its rights")
    if isinstance(error, DatabaseError) and "not a database" in cause:
        return DataError(message, hint="name another file in feedback.store, or bring it back from a copy")
    return DataError(message, hint="check feedback.store; the words are those of the database")
