"""A backup put back: nothing is changed unless every byte is as it was saved and nothing is in the way."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from genarm.errors import ConfigError
from genarm.operations.backup import databases, stores, sums
from genarm.operations.backup.earlier import REMOTE
from genarm.operations.backup.saving import FILES
from genarm.operations.backup.settings import REMOTE_AT, read


@dataclass(frozen=True, slots=True)
class Restored:
    """How many objects of a DVC remote the backup holds, and those that the remote lacked."""

    objects: int
    sent: tuple[str, ...]


def restore(folder: Path, environment: Mapping[str, str]) -> Restored:
    """Put a backup into empty databases, an empty file store, and a DVC remote, which gets what it lacks.

    Raises ConfigError where a setting or a program is missing, PipelineError where the backup is not as it
    was saved or something is in the way, Unreachable where a database or a store fails.
    """
    settings = read(environment)
    sums.check(folder)
    objects, lacking = sums.below(folder / REMOTE), list[str]()
    if objects and not settings.remote:
        raise ConfigError(
            f"{folder} holds a DVC remote, and {REMOTE_AT} is not set",
            hint=f"set {REMOTE_AT} to the folder or s3://BUCKET that gets back what it lacks",
        )
    databases.refuse_tables(settings.databases)
    stores.refuse_files(settings.files)
    if objects:
        stores.refuse_missing(settings.remote, REMOTE_AT)
        lacking = stores.missing(folder / REMOTE, settings.remote)
    stores.send(folder / FILES, sums.below(folder / FILES), settings.files)
    stores.send(folder / REMOTE, lacking, settings.remote)
    databases.load(settings.databases, folder)
    return Restored(len(objects), tuple(lacking))
