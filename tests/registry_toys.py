"""A registry for tests: a project that can be put back to an earlier state, verbs, and deaths."""

import dataclasses
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from genarm import registry
from genarm.models.arm import adapter_hash
from genarm.registry import Registry
from genarm.types import Decision

DIMENSION = "positive"
DIMENSIONS = [DIMENSION, "plain"]
METRICS = {"accuracy_after": 0.71, "accuracy_longer": 0.52}
CURVES = [
    {"step": 10, "loss": 0.7, "rewards/margins": 0.1},
    {"step": 20, "loss": 0.6, "rewards/margins": 0.4},
]
MakeArm = Callable[[int], Path]
BringChampions = Callable[[int], None]


class Project:
    """A folder with a local store that can be put back to what it was at an earlier moment.

    A store keeps absolute paths, so it is put back where it was made; and it is written into the same
    database file, which MLflow keeps open.
    """

    def __init__(self, root: Path, states: Path) -> None:
        self.root, self.states = root, states
        self.database = root / "mlflow" / "mlflow.db"
        self.uri = f"sqlite:///{self.database}"

    def keep(self, state: str) -> None:
        """Remember the store as it is."""
        kept = self.states / state
        kept.mkdir(parents=True)
        copy_database(self.database, kept / "mlflow.db")
        if (self.root / "mlflow" / "store").exists():
            shutil.copytree(self.root / "mlflow" / "store", kept / "store")

    def has(self, state: str) -> bool:
        return (self.states / state).exists()

    def put_back(self, state: str) -> None:
        """Make the store what it was, and remove everything else from the project."""
        for path in (*self.root.iterdir(), *(self.root / "mlflow").iterdir()):
            if path not in (self.database.parent, self.database, self.database.with_suffix(".lock")):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        copy_database(self.states / state / "mlflow.db", self.database)
        if (self.states / state / "store").exists():
            shutil.copytree(self.states / state / "store", self.root / "mlflow" / "store")


def copy_database(source: Path, target: Path) -> None:
    with closing(sqlite3.connect(source)) as read, closing(sqlite3.connect(target)) as write:
        read.backup(write)


def new_project(root: Path, states: Path) -> Project:
    """A project whose store is empty, kept as the state `empty`."""
    project = Project(root, states)
    root.mkdir(parents=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", project.uri)
        registry.connect(root)
    project.keep("empty")
    return project


def register(store: Registry, folder: Path) -> int:
    lineage = {"dvc stage": f"train@{DIMENSION}", "flow run": "f-1", "git dirty": "false"}
    return store.register(DIMENSION, folder, metrics=METRICS, curves=CURVES, lineage=lineage)


def decision(store: Registry, folder: Path, outcome: Any = "promote") -> Decision:
    champion = store.champions([DIMENSION])[DIMENSION]
    return Decision(DIMENSION, outcome, ["win rate 0.71"], adapter_hash(folder), champion)


def promote(store: Registry, folder: Path, **changes: Any) -> int:
    given = {"smoke_test": lambda place: None, "actor": "test", "report_sha256": "r" * 64} | changes
    return store.promote(DIMENSION, given.pop("decision", None) or decision(store, folder), **given)


def state(store: Registry) -> dict[str, Any]:
    """Aliases, and what a change left on the versions; times left out."""
    rows = store.list([DIMENSION])
    return {
        "aliases": {alias: row["version"] for row in rows for alias in row["aliases"]},
        "marks": {row["version"]: {k: row[k] for k in ("promotion", "blocked")} for row in rows},
    }


class Killed(BaseException):
    """Stands for SIGKILL: no handler of errors sees it."""


class Dying:
    """A client whose n-th write is the last thing that does not happen; and every write after it."""

    WRITES = (
        "create_run", "log_batch", "log_inputs", "log_outputs", "log_text", "log_artifacts", "set_tag",
        "set_terminated",
        "create_logged_model", "finalize_logged_model", "log_model_artifacts", "set_logged_model_tags",
        "create_registered_model", "create_model_version", "set_model_version_tag",
        "delete_model_version_tag", "set_registered_model_alias", "delete_registered_model_alias",
        "update_run", "update_model_version",
    )  # fmt: skip

    def __init__(self, client: Any, last: int) -> None:
        self.client, self.left = client, last

    def __getattr__(self, name: str) -> Any:
        call = getattr(self.client, name)
        if name not in self.WRITES:
            return call

        def write(*args: Any, **kwargs: Any) -> Any:
            if self.left <= 0:
                raise Killed(name)
            self.left -= 1
            return call(*args, **kwargs)

        return write


def dying(store: Registry, last: int) -> Registry:
    return dataclasses.replace(store, client=Dying(store.client, last))  # type: ignore[arg-type]


def kill_at_every_write(store: Registry, action: Callable[[Registry], Any]) -> Iterator[int]:
    """Run `action`, killed at its first write, its second, ... until it gets through; yields after each."""
    for last in range(200):
        try:
            action(dying(store, last))
        except Killed:
            yield last
        else:
            assert last > 3, "the action writes less than it should, or the deaths were not felt"
            return
