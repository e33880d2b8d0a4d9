"""A backup put back: nothing is changed unless every byte is as it was saved and nothing is in the way."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from genarm.errors import ConfigError
from genarm.operations.backup import databases, stores, sums, votes
from genarm.operations.backup.earlier import REMOTE
from genarm.operations.backup.saving import FILES
from genarm.operations.backup.settings import REMOTE_AT, VOTES_AT, Settings, read


@dataclass(frozen=True, slots=True)
class Restored:
    """How many objects of a DVC remote the backup holds, and those that the remote lacked."""

    objects: int
    sent: tuple[str, ...]


def _refuse_lost_votes(folder: Path, settings: Settings) -> None:
    """Votes go back to the kind of database that they are from."""
    for there, given, kind in (
        ((folder / votes.VOTES).exists(), settings.votes, "an SQLite file"),
        (databases.dump_of(folder, "votes").exists(), settings.databases.get("votes"), "PostgreSQL"),
    ):
        if there and not given:
            raise ConfigError(
                f"{folder} holds votes from {kind}, and {VOTES_AT} names none",
                hint=f"set {VOTES_AT} to where they go: the address of feedback.store",
            )


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
    held = {name: at for name, at in settings.databases.items() if databases.dump_of(folder, name).exists()}
    voted = (folder / votes.VOTES).exists()
    _refuse_lost_votes(folder, settings)
    databases.refuse_tables(held)
    if voted and settings.votes:
        votes.refuse_file(settings.votes)
    stores.refuse_files(settings.files)
    if objects:
        stores.refuse_missing(settings.remote, REMOTE_AT)
        lacking = stores.missing(folder / REMOTE, settings.remote)
    stores.send(folder / FILES, sums.below(folder / FILES), settings.files)
    stores.send(folder / REMOTE, lacking, settings.remote)
    databases.load(held, folder)
    if voted and settings.votes:
        votes.put_back(folder, settings.votes)
    return Restored(len(objects), tuple(lacking))
