"""Whether a local store is where its files are: MLflow keeps absolute paths, and a project may be moved."""

import contextlib
import sqlite3
from pathlib import Path

from genarm.errors import RegistryError
from genarm.registry.tags import (
    CANARY_EXPERIMENT,
    COMPARE_EXPERIMENT,
    DECISIONS_EXPERIMENT,
    JUDGES_EXPERIMENT,
    TRAIN_EXPERIMENT,
    WATCH_EXPERIMENT,
)
from genarm.registry.tracking import tracking_address


def check_place(root: Path) -> None:
    """Ask the database itself, since MLflow takes seconds to import. Raises RegistryError where it was moved.

    A database that cannot be read is left to who opens it.
    """
    address = tracking_address(root)
    if address.database is None or not address.database.is_file():
        return
    database = address.database.resolve()
    ours = (
        *(TRAIN_EXPERIMENT, JUDGES_EXPERIMENT, DECISIONS_EXPERIMENT),
        *(COMPARE_EXPERIMENT, WATCH_EXPERIMENT, CANARY_EXPERIMENT),
    )
    each = ", ".join("?" * len(ours))
    query = f"select artifact_location from experiments where name in ({each})"
    try:
        with contextlib.closing(
            sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True, timeout=1)
        ) as opened:
            places = [Path(place) for (place,) in opened.execute(query, ours)]
    except sqlite3.Error:
        return
    folder = database.parent / "store"
    for place in places:
        if not place.is_relative_to(folder):
            raise moved(address.shown, place, folder)


def moved(store: str, place: Path, folder: Path) -> RegistryError:
    """The error of a store whose files are in another place than `folder`."""
    return RegistryError(
        f"{store} keeps its files in {place}, but the project is in {folder.parent.parent}: "
        "it was moved or copied",
        hint="move it back, or delete mlflow/mlflow.db and mlflow/store: the next run registers anew",
    )
