"""How the MLflow store of a project is opened and locked.

MLflow has no lock and no compare-and-set, so whoever moves aliases or adds versions holds `Store.lock`
meanwhile, and writes through the store that it yields. Everybody who shares the store shares the lock: an
SQLite file has a lock file beside it, which the operating system releases; a server or another database holds
a lease (`genarm.registry.lease`). A file that a server has held a lease in has both.
"""

import contextlib
import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Concatenate, ParamSpec, Self, TypeVar

from filelock import FileLock, Timeout

from genarm.errors import Busy, RegistryError
from genarm.registry.experiments import described
from genarm.registry.lease import lease, leases
from genarm.registry.mlflow_errors import ABSENT, EXISTS, errors_translated, passing_over
from genarm.registry.opening import check_answers, create_database
from genarm.registry.place import moved
from genarm.registry.tracking import tracking_address
from genarm.system.redact import redact

if TYPE_CHECKING:
    from mlflow import MlflowClient

LOCK_SECONDS = 300.0  # longer than a smoke test on a slow machine, the longest that the lock is held

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class Store:
    """An open MLflow store.

    `folder` holds the artifacts of a local one; None lets the server choose. `lock_file` is None where the
    lock is a lease in the store.
    """

    client: "MlflowClient"
    uri: str
    folder: Path | None
    lock_file: Path | None

    @property
    def address(self) -> str:
        """The store's address for messages, without user name and password."""
        return redact(self.uri)

    @contextlib.contextmanager
    def lock(self, seconds: float = LOCK_SECONDS) -> Iterator[Self]:
        """Keep all others from changing the registry; yields the store to write through.

        Raises Busy where another process still holds the lock after `seconds`, or later, on a write, where
        this process was stopped for so long that another has taken over.
        """
        if self.lock_file is None:
            with lease(self.client, self.address, seconds) as client:
                yield replace(self, client=client)
            return
        self.lock_file.parent.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(self.lock_file, timeout=seconds):
                if not leases(self.client):
                    yield self
                    return
                # Others have come to this file through a server, and cannot see the lock file.
                with lease(self.client, self.address, seconds) as client:
                    yield replace(self, client=client)
        except Timeout:
            raise Busy(
                f"another process has been changing the registry for {seconds:.0f} s ({self.lock_file})",
                hint="wait for it to end; the lock is released when that process ends, even by a crash",
            ) from None

    def experiment(self, name: str) -> str:
        """The id of an experiment, which is created on first use.

        Raises RegistryError where a local store was moved: MLflow keeps absolute paths.
        """
        experiment = self.client.get_experiment_by_name(name)
        if experiment is None:
            location = None
            if self.folder:
                self.folder.mkdir(parents=True, exist_ok=True)
                location = str(self.folder / name.rpartition("/")[2])
            with passing_over(EXISTS):
                self.client.create_experiment(name, artifact_location=location)
            experiment = self.client.get_experiment_by_name(name)
            assert experiment is not None, "the experiment that was just created is not found"
        if experiment.lifecycle_stage == "deleted":
            with passing_over(ABSENT):
                self.client.restore_experiment(experiment.experiment_id)
        if self.folder and not self._has_folder(Path(experiment.artifact_location), self.folder):
            raise moved(self.address, Path(experiment.artifact_location), self.folder)
        for tag, text in described(name, experiment.experiment_id).items():
            if tag not in experiment.tags:  # what somebody has written stays; an earlier genarm wrote none
                self.client.set_experiment_tag(experiment.experiment_id, tag, text)
        return str(experiment.experiment_id)

    def _has_folder(self, location: Path, folder: Path) -> bool:
        """Whether the files of an experiment are where the store has them: clones may share a database."""
        shared = self.lock_file is None
        return location.is_relative_to(folder) or (shared and location.parent.is_dir())


def store_exists(root: Path) -> bool:
    """Whether a project has a store already: a server or database named by its address, or a file."""
    return tracking_address(root).may_exist


def connect(root: Path) -> Store:
    """Open the store of a project, creating a local one on first use.

    Raises Unreachable, within seconds, where a server or database does not answer, and RegistryError for an
    address that cannot be used.
    """
    root, address = root.resolve(), tracking_address(root)
    try:
        check_answers(address)  # before the seconds that MLflow takes to import
        from genarm.registry.patience import PatientClient
    except ImportError as error:  # the project's folder mlflow/ is then imported as an empty package
        raise RegistryError(f"mlflow is not installed: {error}", hint="make setup") from None
    lock_file: Path | None = None
    folder: Path | None = None
    with errors_translated(address.uri):
        if database := address.database:
            database = database.resolve()
            lock_file, folder = database.with_suffix(".lock"), database.parent / "store"
            create_database(address, database)
        elif not address.is_server:
            folder = root / "mlflow" / "store"
        return Store(PatientClient(address.uri, address.uri), address.uri, folder, lock_file)


def translates_errors(function: Callable[Concatenate[Store, P], T]) -> Callable[Concatenate[Store, P], T]:
    """Decorate `function` so that what MLflow raises inside it becomes a GenarmError naming the store."""

    @functools.wraps(function)
    def wrapper(store: Store, /, *args: P.args, **kwargs: P.kwargs) -> T:
        with errors_translated(store.uri):
            return function(store, *args, **kwargs)

    return wrapper
