"""People's votes in an SQLite file: copied while servers write to it, put back where there is none."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from genarm.errors import PipelineError, Unreachable

VOTES = "votes.db"  # in a backup


def copy(file: Path, folder: Path) -> bool:
    """Copy the votes as they are at one moment; whether there is such a file, which the first vote makes.

    Raises Unreachable for what cannot be read.
    """
    if not file.exists():
        return False
    try:
        with (
            closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)) as here,
            closing(sqlite3.connect(folder / VOTES)) as there,
        ):
            here.backup(there)
            there.execute("pragma journal_mode = delete")  # one file, whatever the servers' mode is
    except sqlite3.Error as error:
        raise Unreachable(
            f"the votes at {file} cannot be read: {error}",
            hint="see that they may be read here, and are whole",
        ) from error
    return True


def refuse_file(file: Path) -> None:
    """Raise PipelineError where there are votes already."""
    if file.exists():
        raise PipelineError(
            f"{file} is there already", hint="stop its servers and move it away; a backup never overwrites"
        )


def put_back(folder: Path, file: Path) -> None:
    """Write the votes of a backup to their place, which only their owner may read.

    Raises Unreachable where that fails; nothing is left then.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        try:
            with closing(sqlite3.connect(folder / VOTES)) as here, closing(sqlite3.connect(file)) as there:
                here.backup(there)
        except BaseException:
            file.unlink()
            raise
    except (OSError, sqlite3.Error) as error:
        raise Unreachable(
            f"the votes cannot be written to {file}: {error}", hint="see that its folder may be written to"
        ) from error
