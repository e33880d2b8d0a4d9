"""`python -m genarm.operations.backup`, as `make backup` and `make restore` call it."""

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from genarm.errors import GenarmError
from genarm.operations.backup.earlier import REMOTE
from genarm.operations.backup.restoring import restore
from genarm.operations.backup.saving import FILES, save
from genarm.operations.backup.settings import REMOTE_AT, VOTES_AT
from genarm.operations.backup.sums import below
from genarm.operations.backup.votes import VOTES
from genarm.system.counted import byte_size, counted

app = typer.Typer(add_completion=False, help="Backups of the team's servers.")


@app.command("save")
def _save(above: Annotated[Path, typer.Argument(help="the folder that the new one is made in")]) -> None:
    """Save databases, files and the DVC remote."""
    saved = save(above, os.environ)
    folder = saved.folder
    dumps = [*(path.name for path in folder.glob("*.dump")), *(path.name for path in folder.glob(VOTES))]
    print(f"databases: {byte_size(_bytes(folder, dumps))}")
    if not saved.votes:
        print(f"votes: not part of it, since {VOTES_AT} is not set or names no file yet")
    print(f"MLflow: {_files(folder / FILES, below(folder / FILES), 'file')}")
    if saved.remote:
        new = _files(folder / REMOTE, saved.new, "object")
        print(f"DVC remote: {_files(folder / REMOTE, below(folder / REMOTE), 'object')}; copied {new}")
    else:
        print(f"DVC remote: not part of it, since {REMOTE_AT} is not set")
    print(f"saved {folder}")


@app.command("restore")
def _restore(folder: Annotated[Path, typer.Argument(help="a backup")]) -> None:
    """Put a backup into empty databases and an empty file store; the DVC remote gets what it lacks."""
    done = restore(folder, os.environ)
    if done.objects:
        sent = _files(folder / REMOTE, done.sent, "object")
        print(f"DVC remote: {counted(done.objects, 'object')}; copied {sent} that it lacked")
    print(f"restored {folder}; start the servers")


def _files(folder: Path, names: Iterable[str], noun: str) -> str:
    names = list(names)
    return f"{counted(len(names), noun)}, {byte_size(_bytes(folder, names))}"


def _bytes(folder: Path, names: Iterable[str]) -> int:
    return sum((folder / name).stat().st_size for name in names)


if __name__ == "__main__":
    try:
        app()
    except GenarmError as problem:
        sys.exit(f"error: {problem.message}\nhint: {problem.hint}")
