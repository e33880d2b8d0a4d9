"""A new backup. Databases come first and files after them, though the servers go on: files are only added,
so whatever a database names is there when it is copied.
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from genarm.operations.backup import databases, stores, sums, votes
from genarm.operations.backup.earlier import REMOTE, link, newest
from genarm.operations.backup.settings import FILES_AT, REMOTE_AT, read

FILES = "files"  # the folder of MLflow's files in a backup


@dataclass(frozen=True, slots=True)
class Saved:
    """A backup, the objects of the DVC remote that are in no earlier one, whether it has remote and votes."""

    folder: Path
    new: tuple[str, ...]
    remote: bool
    votes: bool


def save(above: Path, environment: Mapping[str, str]) -> Saved:
    """Make a backup in a new folder below `above`, named by the time in UTC, which only its owner may read.

    Raises ConfigError where a setting or a program is missing, Unreachable where a database or a store
    fails; nothing is left then.
    """
    settings = read(environment)
    stores.refuse_missing(settings.files, FILES_AT)
    if settings.remote:
        stores.refuse_missing(settings.remote, REMOTE_AT)
    folder = above / f"{datetime.now(UTC):%Y-%m-%dT%H-%M-%SZ}"
    unfinished = folder.with_name(f"{folder.name}{sums.UNFINISHED}")
    earlier = newest(above)
    unfinished.mkdir(parents=True, mode=0o700)
    try:
        databases.dump(settings.databases, unfinished)
        voted = settings.votes is not None and votes.copy(settings.votes, unfinished)
        stores.fetch(settings.files, stores.sizes(settings.files), unfinished / FILES)
        new: list[str] = []
        linked: dict[str, str] = {}
        if settings.remote:
            there = stores.sizes(settings.remote)
            linked = link(there, earlier, unfinished) if earlier else {}
            new = [name for name in there if f"{REMOTE}/{name}" not in linked]
            stores.fetch(settings.remote, new, unfinished / REMOTE)
        sums.write(unfinished, linked)
        sums.check(unfinished)  # it can be read back
        unfinished.rename(folder)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    return Saved(folder, tuple(new), bool(settings.remote), voted or "votes" in settings.databases)
