"""The files behind an address of MLflow: their sizes, and their removal, on a disk or behind a server."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from genarm.registry.mlflow_errors import ABSENT, INVALID, passing_over
from genarm.registry.store import Store

if TYPE_CHECKING:
    from mlflow.store.artifact.artifact_repo import ArtifactRepository


def stored_files(store: Store, place: str) -> dict[str, int]:
    """The files below an address, by their paths from there, with their bytes; none where there is none."""
    found = dict[str, int]()
    with passing_over(ABSENT, INVALID):
        found.update(_walk(_repository(store, place), None))
    return found


def remove_files(store: Store, place: str, wanted: Callable[[str], bool] = lambda path: True) -> None:
    """Remove those files below an address whose path is `wanted`; what is gone already is passed over."""
    repository = _repository(store, place)
    files = stored_files(store, place)
    if files and all(map(wanted, files)):
        repository.delete_artifacts()  # type: ignore[no-untyped-call]
        return
    for path in filter(wanted, files):
        repository.delete_artifacts(path)  # type: ignore[no-untyped-call]


def _repository(store: Store, place: str) -> "ArtifactRepository":
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    return get_artifact_repository(place, tracking_uri=store.uri)


def _walk(repository: "ArtifactRepository", folder: str | None) -> Iterator[tuple[str, int]]:
    for entry in repository.list_artifacts(folder):
        if entry.is_dir:
            yield from _walk(repository, entry.path)
        else:
            yield entry.path, int(entry.file_size or 0)
