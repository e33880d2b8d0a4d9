"""All that a registry holds: every dimension, every run of an experiment, what each version was made of."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from genarm.registry import tags
from genarm.registry.store import Store
from genarm.registry.versions import Version, run_of, versions

if TYPE_CHECKING:
    from mlflow.entities import Run

PAGE = 1000
SOUP = "adapters."  # begins the parameters of a run that name the adapters of a soup by their hashes


def all_dimensions(store: Store) -> list[str]:
    """Every dimension with versions, also those that `params.yaml` no longer has."""
    head, found, token = tags.model_name(""), list[str](), None
    while True:
        page = store.client.search_registered_models(f"name LIKE '{head}%'", page_token=token)
        found += [model.name.removeprefix(head) for model in page]
        token = page.token
        if not token:
            break
    return sorted(name for name in found if "." not in name)  # a dot is in the names of judges and leases


def all_versions(store: Store) -> list[Version]:
    """Every version of every dimension, newest first within each."""
    return [version for dimension in all_dimensions(store) for version in versions(store, dimension)]


def all_runs(store: Store, name: str, *, deleted: bool = False) -> "Iterator[Run]":
    """The runs of an experiment, oldest first; those that were deleted, where asked for. None without it."""
    from mlflow.entities import ViewType

    experiment = store.client.get_experiment_by_name(name)
    token = None
    view = ViewType.DELETED_ONLY if deleted else ViewType.ACTIVE_ONLY
    while experiment is not None:
        page = store.client.search_runs(
            [experiment.experiment_id],
            run_view_type=view,
            max_results=PAGE,
            order_by=["start_time ASC"],
            page_token=token,
        )
        yield from page
        token = page.token
        if not token:
            return


def parents(version: Version, run: "Run | None") -> dict[str, str]:
    """How a version was made of others: `warm start`, or `soup of NAME` -> the hash of the adapter."""
    found = {}
    if sha256 := version.tags.get(tags.WARM_START_SHA256):
        found["warm start"] = sha256
    for key, value in (run.data.params if run else {}).items():
        if key.startswith(SOUP):
            found[f"soup of {key.removeprefix(SOUP)}"] = value
    return found


def run_and_parents(store: Store, version: Version) -> "tuple[Run | None, dict[str, str]]":
    """The run of a version, None where it is gone, and its parents."""
    run = run_of(store, version)
    return run, parents(version, run)
