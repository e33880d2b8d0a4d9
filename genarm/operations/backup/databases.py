"""The databases, by the programs of PostgreSQL: dumped while they serve, restored where they are empty."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from genarm.errors import ConfigError, PipelineError, Unreachable
from genarm.operations.backup.settings import DATABASES, VOTES_AT
from genarm.system.redact import redact

TABLES = (
    "select count(*) from pg_class join pg_namespace spaces on spaces.oid = relnamespace "
    "where relkind in ('r', 'p', 'm') and nspname <> 'information_schema' and nspname !~ '^pg_'"
)


def dump(addresses: Mapping[str, str], folder: Path) -> None:
    """Write a dump of each database. Raises Unreachable where one fails, ConfigError without the programs."""
    for name, address in addresses.items():
        _client(
            "pg_dump", address, "--format=custom", "--no-owner", "--no-acl", f"--file={dump_of(folder, name)}"
        )


def refuse_tables(addresses: Mapping[str, str]) -> None:
    """Raise PipelineError where a database is not empty; Unreachable, ConfigError as `dump`."""
    for name, address in addresses.items():
        tables = int(
            _client("psql", address, "--no-psqlrc", "--tuples-only", "--no-align", f"--command={TABLES}")
        )
        if tables:
            raise PipelineError(
                f"the database of {DATABASES.get(name, VOTES_AT)} is not empty: it has {tables} tables",
                hint="stop its server, then drop the database and create it again; a backup never overwrites",
            )


def load(addresses: Mapping[str, str], folder: Path) -> None:
    """Fill empty databases from their dumps. Raises as `dump`."""
    whole = ("--exit-on-error", "--single-transaction", "--no-owner", "--no-acl")
    for name, address in addresses.items():
        _client("pg_restore", address, *whole, str(dump_of(folder, name)))


def dump_of(folder: Path, name: str) -> Path:
    """Where the dump of a database lies in a backup."""
    return folder / f"{name}.dump"


def _client(program: str, address: str, *arguments: str) -> str:
    """What a program of PostgreSQL prints. The password is not among its arguments, which others can see."""
    from sqlalchemy import URL, make_url

    found = shutil.which(program)
    if found is None:
        raise ConfigError(
            f"there is no {program} here", hint="apt install postgresql-client, not older than the server"
        )
    url = make_url(address)
    parts = url.username, None, url.host, url.port, url.database, url.query
    shown = URL.create("postgresql", *parts).render_as_string()
    login = {"PGPASSWORD": str(url.password)} if url.password else {}
    command = [found, f"--dbname={shown}", "--no-password", *arguments]
    done = subprocess.run(command, env={**os.environ, **login}, capture_output=True, text=True)
    if done.returncode:
        words = " ".join(done.stderr.split()) or f"exit code {done.returncode}"
        raise Unreachable(
            f"{program} failed for {redact(shown)}: {redact(words)}",
            hint="see that the database is there and answers; a client must not be older than its server",
        )
    return done.stdout
