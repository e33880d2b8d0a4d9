"""What MLflow's errors mean: codes that can be passed over, and words that become errors of genarm."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from genarm.errors import Busy, GenarmError, RegistryError, Unreachable
from genarm.registry.tracking import HINT
from genarm.system.redact import redact

EXISTS, ABSENT, INVALID = "RESOURCE_ALREADY_EXISTS", "RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"
DENIED = "PERMISSION_DENIED"
MESSAGE_LENGTH = 500
NO_ANSWER = re.compile(r"API request to .* failed with (exception|timeout)|Max retries", re.S)
SERVER_FAILS = re.compile(r"(error code|status) 5\d\d")
SQL = re.compile(r"\[SQL: .*|\(Background on this error.*", re.S)
DISK = re.compile(r"disk is full|disk I/O error|readonly database|unable to open database file|No space left")
UNSUPPORTED = re.compile(r"[Uu]nsupported URI|file ?store|filesystem tracking backend", re.S)


@contextmanager
def passing_over(*codes: str) -> Iterator[None]:
    """Go on after an error of MLflow with one of these codes: what follows the `with` says what it means."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        if error.error_code not in codes:
            raise


def has_no_answer(error: Exception) -> bool:
    """Whether MLflow's error says that its server did not answer, rather than what it answered."""
    return NO_ANSWER.search(str(error)) is not None


@contextmanager
def errors_translated(uri: str) -> Iterator[None]:
    """Turn what MLflow and its libraries raise about the store at `uri` into a GenarmError that names it."""
    from alembic.util import CommandError
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except GenarmError:
        raise
    except (MlflowException, SQLAlchemyError, CommandError) as error:
        raise _translation(error, uri) from error
    except OSError as error:  # a full disk, a read-only folder
        raise RegistryError(
            f"{redact(uri)}: {error}", hint="check free space and permissions, then run again"
        ) from error


def _translation(error: Exception, uri: str) -> GenarmError:
    # MLflow has one class for all of these: only the text tells them apart.
    text = " ".join(SQL.sub("", redact(str(getattr(error, "message", error)))).split())
    message = f"{redact(uri)}: {text[:MESSAGE_LENGTH]}"
    if "database is locked" in text:
        return Busy(message, hint="another process is writing to it; run again")
    if has_no_answer(error) or SERVER_FAILS.search(text):
        return Unreachable(message, hint="start the server, or unset MLFLOW_TRACKING_URI for the local store")
    if DISK.search(text):
        return RegistryError(message, hint="check free space and permissions, then run again")
    if "Can't locate revision" in text:
        return RegistryError(
            message, hint="a newer MLflow made this store: use that version, or another store"
        )
    if UNSUPPORTED.search(text):
        return RegistryError(message, hint=HINT)
    return RegistryError(message, hint="genarm doctor --deep")
