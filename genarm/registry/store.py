"""Which MLflow store a project uses, how it is opened, and what its failures mean.

`$MLFLOW_TRACKING_URI` names the store; without it, it is an SQLite file and a folder below `mlflow/`. MLflow
has no lock and no compare-and-set, so whoever changes aliases or adds versions holds `Store.lock` meanwhile:
it serialises the processes of one machine. Across machines, let one worker promote (concurrency 1).
"""

import contextlib
import functools
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

from filelock import FileLock, Timeout

from genarm.errors import Busy, GenarmError, RegistryError, Unreachable

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

LOCK_SECONDS = 300.0  # a smoke test on a slow machine is the longest that anybody holds the lock
PROBE_SECONDS = 3.0
AWAY = re.compile(
    r"API request to .* failed with (exception|timeout)|(error code|status) 5\d\d|Max retries", re.S
)

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class Store:
    """An open MLflow store. `folder` holds the artifacts of a local one; None lets the server choose."""

    client: "MlflowClient"
    uri: str
    folder: Path | None
    lock_file: Path

    @property
    def where(self) -> str:
        """The store's address without user name and password."""
        return without_credentials(self.uri)

    @contextlib.contextmanager
    def lock(self, seconds: float = LOCK_SECONDS) -> Iterator[None]:
        """Alone on this machine. Raises Busy where another process keeps the lock for `seconds`."""
        try:
            with FileLock(self.lock_file, timeout=seconds):
                yield
        except Timeout:
            raise Busy(
                f"another process has been changing the registry for {seconds:.0f} s ({self.lock_file})",
                hint="wait for it to end; the lock frees itself when that process dies",
            ) from None

    def experiment(self, name: str) -> str:
        """The id of an experiment, made on first use."""
        found = self.client.get_experiment_by_name(name)
        if found is None:
            place = str(self.folder / name.rpartition("/")[2]) if self.folder else None
            return str(self.client.create_experiment(name, artifact_location=place))
        if found.lifecycle_stage == "deleted":
            self.client.restore_experiment(found.experiment_id)
        if self.folder and not Path(found.artifact_location).is_relative_to(self.folder):
            raise RegistryError(
                f"{self.where} keeps its files in {found.artifact_location}, but the project lies in "
                f"{self.folder.parent.parent}: it was moved or copied",
                hint="move it back, or delete mlflow/mlflow.db and mlflow/store: the next run registers anew",
            )
        return str(found.experiment_id)


def _uri(root: Path) -> str:
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{root.resolve() / 'mlflow' / 'mlflow.db'}"


def is_there(root: Path) -> bool:
    """Whether the project has a store already: a server by its address, or a file."""
    uri = _uri(root)
    return not uri.startswith("sqlite:///") or Path(uri.removeprefix("sqlite:///")).is_file()


def connect(root: Path) -> Store:
    """Open the store of a project, making a local one on first use.

    Raises Unreachable, within seconds, where a server does not answer.
    """
    try:
        from mlflow import MlflowClient
    except ImportError as error:  # our folder mlflow/ is then found as an empty package
        raise RegistryError(f"mlflow is not installed: {error}", hint="make setup") from None
    root, uri = root.resolve(), _uri(root)
    lock_file = root / ".cache" / "registry.lock"
    folder: Path | None = None
    with _translated(uri):
        if uri.startswith(("http://", "https://")):
            _probe(uri)
        elif uri.startswith("sqlite:///"):
            database = Path(uri.removeprefix("sqlite:///"))
            lock_file, folder = database.with_suffix(".lock"), database.parent / "store"
            _create(database)
        else:
            folder = root / "mlflow" / "store"
        lock_file.parent.mkdir(parents=True, exist_ok=True)
        return Store(MlflowClient(uri, uri), uri, folder, lock_file)


def asking(function: Callable[Concatenate[Store, P], T]) -> Callable[Concatenate[Store, P], T]:
    """What MLflow raises inside `function` reaches the caller as one of our errors, naming the store."""

    @functools.wraps(function)
    def wrapper(store: Store, /, *args: P.args, **kwargs: P.kwargs) -> T:
        with _translated(store.uri):
            return function(store, *args, **kwargs)

    return wrapper


def without_credentials(uri: str) -> str:
    """A URI, or a text with URIs in it, less every `user:password@` and query."""
    return re.sub(r"\?\S*", "", re.sub(r"//[^/@\s]+@", "//", uri))


@contextlib.contextmanager
def _translated(uri: str) -> Iterator[None]:
    from mlflow.exceptions import MlflowException

    try:
        yield
    except GenarmError:
        raise
    except MlflowException as error:
        raise _meaning(error, uri) from error
    except OSError as error:  # a full disk, a read-only folder
        raise RegistryError(
            f"{without_credentials(uri)}: {error}", hint="check free space and permissions, then run again"
        ) from error


def _meaning(error: "MlflowException", uri: str) -> GenarmError:
    message = f"{without_credentials(uri)}: {without_credentials(str(error.message))[:500]}"
    if "database is locked" in message:
        return Busy(message, hint="another process writes to it for long; run again")
    if AWAY.search(message):
        return Unreachable(message, hint="start the server, or unset MLFLOW_TRACKING_URI for the local store")
    return RegistryError(message, hint="genarm doctor --deep")


def _probe(uri: str) -> None:
    """Any answer will do. MLflow itself would retry a silent server for minutes before it says so."""
    import requests

    try:
        requests.get(f"{uri.rstrip('/')}/health", timeout=PROBE_SECONDS)
    except requests.RequestException as error:
        raise Unreachable(
            f"no MLflow server answers at {without_credentials(uri)} ({type(error).__name__})",
            hint="start it (mlflow/README.md), correct MLFLOW_TRACKING_URI, or unset it for the local store",
        ) from None


def _create(database: Path) -> None:
    """Make the schema under a lock, in a file beside, and rename: see the two reasons below."""
    if database.is_file():
        return
    from mlflow import MlflowClient

    database.parent.mkdir(parents=True, exist_ok=True)
    # Processes that create one schema at a time all fail in its migrations: hence the lock. A process killed
    # in the middle leaves a schema that no later start can complete: hence the rename.
    with FileLock(database.with_suffix(".lock"), timeout=LOCK_SECONDS):
        if database.is_file():
            return
        beside = database.with_name(f"new-{database.name}")
        for half in (beside, beside.with_name(f"{beside.name}-journal")):
            half.unlink(missing_ok=True)
        client = MlflowClient(f"sqlite:///{beside}", f"sqlite:///{beside}")
        client.search_experiments(max_results=1)
        client.search_registered_models(max_results=1)
        beside.rename(database)
