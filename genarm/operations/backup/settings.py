"""Where the servers keep what is backed up: by the variables of the environment that they have themselves."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from genarm.errors import ConfigError
from genarm.system.redact import redact

DATABASES = {
    "mlflow": "MLFLOW_BACKEND_STORE_URI",
    "prefect": "PREFECT_SERVER_DATABASE_CONNECTION_URL",
}  # of PostgreSQL; MLflow's users are in its own
VOTES_AT = "GENARM_VOTES"  # `feedback.store`; may be left out
FILES_AT = "MLFLOW_ARTIFACTS_DESTINATION"  # a folder, or s3://bucket
REMOTE_AT = (
    "GENARM_DVC_REMOTE"  # the same; may be left out, since not every DVC remote is a store of the team's
)
SQLITE = "sqlite:///"


@dataclass(frozen=True, slots=True)
class Settings:
    """The addresses: of each database by its name, of MLflow's files, and of the DVC remote or nothing.

    Votes in PostgreSQL are one of the databases; those in an SQLite file are at `votes`.
    """

    databases: Mapping[str, str]
    files: str
    remote: str
    votes: Path | None


def read(environment: Mapping[str, str]) -> Settings:
    """The settings of an environment. Raises ConfigError where one is missing or is no PostgreSQL."""
    needed = (*DATABASES.values(), FILES_AT)
    if missing := [name for name in needed if not environment.get(name)]:
        raise ConfigError(
            f"{' and '.join(missing)} not set",
            hint="set what the servers are started with, or run it where compose.yaml does: make backup",
        )
    for name in DATABASES.values():
        if not environment[name].startswith("postgresql"):
            raise ConfigError(
                f"{name} is {redact(environment[name])}, and only PostgreSQL is backed up here",
                hint="of an SQLite store, copy the folder mlflow/ while nothing runs",
            )
    databases = {name: environment[variable] for name, variable in DATABASES.items()}
    votes, file = environment.get(VOTES_AT, ""), None
    if votes.startswith("postgresql"):
        databases["votes"] = votes
    elif votes:
        file = _file_of(votes)
    return Settings(databases, environment[FILES_AT], environment.get(REMOTE_AT, ""), file)


def _file_of(address: str) -> Path:
    if not address.startswith(SQLITE) or not address.removeprefix(SQLITE):
        raise ConfigError(
            f"{VOTES_AT} is {redact(address)}, which is no database of votes",
            hint=f"postgresql://... or {SQLITE}/feedback/feedback.db, as feedback.store has it",
        )
    return Path(address.removeprefix(SQLITE))
