"""Backups of the team's servers: both databases and MLflow's files in one folder, with their SHA-256.

    python -m genarm.operations.backup save backups
    python -m genarm.operations.backup restore backups/2026-11-27T04-50-00Z

They are found as the servers themselves find them, by `DATABASES` and `FILES_AT` of the environment.
Databases come first and files after them: files are only added, so whatever a database names is there when it
is copied, though the servers go on. A restore changes nothing unless every byte is as it was saved and
everything is empty.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from genarm.errors import ConfigError, GenarmError, PipelineError, Unreachable
from genarm.system.files import sha256, write_text
from genarm.system.redact import redact

DATABASES = {
    "mlflow": "MLFLOW_BACKEND_STORE_URI",
    "prefect": "PREFECT_SERVER_DATABASE_CONNECTION_URL",
}  # of PostgreSQL; MLflow's users are in its own
FILES_AT = "MLFLOW_ARTIFACTS_DESTINATION"  # a folder, or s3://bucket
FILES, SUMS, UNFINISHED = "files", "sha256sums", ".part"
TABLES = (
    "select count(*) from pg_class join pg_namespace spaces on spaces.oid = relnamespace "
    "where relkind in ('r', 'p', 'm') and nspname <> 'information_schema' and nspname !~ '^pg_'"
)


def save(above: Path, environment: Mapping[str, str]) -> Path:
    """Make a backup in a new folder below `above`, named by the time in UTC, which only its owner may read.

    Raises ConfigError where a setting or a program is missing, Unreachable where a database or the file store
    fails; nothing is left then.
    """
    settings = _settings(environment)
    with _store(settings[FILES_AT]) as (system, root):
        if not system.exists(root):  # a misspelt store would be one without files
            raise ConfigError(
                f"{FILES_AT}: there is nothing at {redact(settings[FILES_AT])}",
                hint="name what `mlflow server --artifacts-destination` is given",
            )
    folder = above / f"{datetime.now(UTC):%Y-%m-%dT%H-%M-%SZ}"
    unfinished = folder.with_name(f"{folder.name}{UNFINISHED}")
    unfinished.mkdir(parents=True, mode=0o700)
    try:
        for name, variable in DATABASES.items():
            dump = f"--file={unfinished / name}.dump"
            _client("pg_dump", settings[variable], "--format=custom", "--no-owner", "--no-acl", dump)
        _fetch(settings[FILES_AT], unfinished / FILES)
        sums = [f"{sha256(unfinished / name)}  {name}\n" for name in _below(unfinished)]
        write_text(unfinished / SUMS, "".join(sums))
        check(unfinished)  # it can be read back
        unfinished.rename(folder)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    return folder


def restore(folder: Path, environment: Mapping[str, str]) -> None:
    """Put a backup into empty databases and an empty file store.

    Raises ConfigError where a setting or a program is missing, PipelineError where the backup is not as it
    was saved or something is not empty, Unreachable where a database or the file store fails.
    """
    settings = _settings(environment)
    check(folder)
    for variable in DATABASES.values():
        tables = _client(
            "psql", settings[variable], "--no-psqlrc", "--tuples-only", "--no-align", f"--command={TABLES}"
        )
        if int(tables):
            raise PipelineError(
                f"the database of {variable} is not empty: it has {int(tables)} tables",
                hint="stop its server, then drop the database and create it again; a backup never overwrites",
            )
    _send(folder / FILES, settings[FILES_AT])
    whole = ("--exit-on-error", "--single-transaction", "--no-owner", "--no-acl")
    for name, variable in DATABASES.items():
        _client("pg_restore", settings[variable], *whole, str(folder / f"{name}.dump"))


def check(folder: Path) -> int:
    """Compare every file of a backup with its hash; returns how many there are.

    Raises PipelineError naming the first that differs, is missing or was added.
    """
    try:
        lines = (folder / SUMS).read_text(encoding="utf-8").split("\n")[:-1]
    except OSError as error:
        cut = f"; {folder.name} was not finished" if folder.name.endswith(UNFINISHED) else ""
        raise PipelineError(
            f"{folder} is no backup: {SUMS} cannot be read: {error.strerror}{cut}",
            hint="name a folder that `make backup` printed",
        ) from None
    noted = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    there = {*_below(folder)} - {SUMS}
    for name in sorted(noted.keys() ^ there):
        what = "is missing" if name in noted else f"is not in {SUMS}"
        raise PipelineError(
            f"{folder / name} {what}", hint="take another backup, or another copy of this one"
        )
    for name, digest in noted.items():
        if (found := sha256(folder / name)) != digest:
            raise PipelineError(
                f"{folder / name} was altered or cut short: it had sha256 {digest[:12]}, now {found[:12]}",
                hint="take another backup, or another copy of this one",
            )
    return len(noted)


def _settings(environment: Mapping[str, str]) -> dict[str, str]:
    settings = {name: environment.get(name, "") for name in (*DATABASES.values(), FILES_AT)}
    if missing := [name for name, value in settings.items() if not value]:
        raise ConfigError(
            f"{' and '.join(missing)} not set",
            hint="set what the servers are started with, or run it where compose.yaml does: make backup",
        )
    for name in DATABASES.values():
        if not settings[name].startswith("postgresql"):
            raise ConfigError(
                f"{name} is {redact(settings[name])}, and only PostgreSQL is backed up here",
                hint="of an SQLite store, copy the folder mlflow/ while nothing runs",
            )
    return settings


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


def _below(folder: Path) -> list[str]:
    return sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())


def _fetch(address: str, folder: Path) -> None:
    """Copy all files of the store into a folder."""
    with _store(address) as (system, root):
        names = sorted(system.find(root))
        here = [folder / name.removeprefix(root).lstrip("/") for name in names]
        for file in here:
            file.parent.mkdir(parents=True, exist_ok=True)
        if names:
            system.get(names, [str(file) for file in here])


def _send(folder: Path, address: str) -> None:
    """Copy all files of a folder into the store. Raises PipelineError where that holds any."""
    with _store(address) as (system, root):
        if held := system.find(root):
            raise PipelineError(
                f"{redact(address)} is not empty: it holds {len(held)} files, such as {held[0]}",
                hint="move them away, or make a new bucket; a backup never overwrites",
            )
        names = _below(folder)
        there = [f"{root.rstrip('/')}/{name}" for name in names]
        if "file" in system.protocol:
            for parent in {name.rpartition("/")[0] for name in there}:
                system.makedirs(parent, exist_ok=True)
        if names:
            system.put([str(folder / name) for name in names], there)


@contextmanager
def _store(address: str) -> Iterator[tuple[Any, str]]:
    """The file system of an address and the path in it. Keys are read from the environment: AWS_*."""
    from fsspec.core import url_to_fs

    try:
        yield url_to_fs(address, use_listings_cache=False) if "://" in address else url_to_fs(address)
    except GenarmError:
        raise
    except ImportError as error:
        raise ConfigError(f"{redact(address)}: {error}", hint="pip install 'genarm[stores]'") from None
    except Exception as error:  # of whichever client
        words = " ".join(str(error).split())
        raise Unreachable(
            f"the files at {redact(address)} failed: {type(error).__name__}: {redact(words)}",
            hint="see that the store answers and its keys are right, and that no file was removed meanwhile",
        ) from None


app = typer.Typer(add_completion=False, help="Backups of the team's servers.")


@app.command("save")
def _save(above: Annotated[Path, typer.Argument(help="the folder that the new one is made in")]) -> None:
    """Save databases and files."""
    folder = save(above, os.environ)
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    print(f"saved {len(_below(folder)) - 1} files, {size / (1 << 20):.1f} MiB: {folder}")


@app.command("restore")
def _restore(folder: Annotated[Path, typer.Argument(help="a backup")]) -> None:
    """Put a backup into empty databases and an empty file store."""
    restore(folder, os.environ)
    print(f"restored {folder}; start the servers")


if __name__ == "__main__":
    try:
        app()
    except GenarmError as problem:
        sys.exit(f"error: {problem.message}\nhint: {problem.hint}")
