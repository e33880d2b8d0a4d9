"""What of a registry may go, and its removal: old versions, their files, and runs that made none.

Files go before the record that names them, so that what a kill leaves is found and removed by the next call.
MLflow's client only marks a run as deleted; its row goes with `mlflow gc`.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from genarm.models.arm import CARD
from genarm.registry import tags
from genarm.registry.artifacts import remove_files, stored_files
from genarm.registry.everything import all_runs, all_versions
from genarm.registry.mlflow_errors import ABSENT, INVALID, passing_over
from genarm.registry.model_files import logged_model
from genarm.registry.needed import Need, Rules, named_in_log, needs
from genarm.registry.store import Store, translates_errors
from genarm.registry.tags import model_name
from genarm.registry.versions import Version, location, set_tag

if TYPE_CHECKING:
    from mlflow.entities import Run

AT_ONCE = 10  # removals while the lock is held: others wait meanwhile


@dataclass(frozen=True, slots=True)
class Removable:
    """A version, the files of one, or a run that may go; `why` says by what rule."""

    kind: str
    name: str
    why: str
    bytes: int
    version: Version | None = None
    run_id: str = ""
    place: str = ""  # of a run's files
    keeps_record: bool = False


@dataclass(frozen=True, slots=True)
class RegistryContent:
    """What a registry holds: bytes by kind, what may go, and what is needed of each version."""

    bytes: dict[str, int]
    removable: list[Removable]
    needs: dict[tuple[str, int], Need]
    whole: list[Version]


@translates_errors
def content(
    store: Store, rules: Rules, noted: Mapping[str, Collection[int]], now: datetime
) -> RegistryContent:
    """Look at everything; nothing is changed. `noted` has the versions that the project's files name."""
    stored = all_versions(store)
    runs = {run.info.run_id: run for run in all_runs(store, tags.TRAIN_EXPERIMENT)}
    logged = named_in_log(store)
    needed = needs(stored, runs, logged, noted, rules, now)
    sizes, removable = {"versions": 0, "runs": 0}, list[Removable]()
    for version in stored:
        need, files = needed[version.dimension, version.number], _files(store, version)
        sizes["versions"] += sum(files.values())
        of_record = {path: size for path, size in files.items() if not _is_card(path)}
        name = f"{version.dimension} {version.number}"
        if need.level == "nothing":
            removable.append(Removable("versions", name, need.why, sum(files.values()), version))
        elif need.level == "record" and of_record:
            why = f"its files alone, its record is {need.why}"
            removable.append(
                Removable("versions", name, why, sum(of_record.values()), version, keeps_record=True)
            )
    for found in _runs(store, stored, runs, logged_runs(store), rules, now):
        sizes["runs"] += found.bytes
        if found.why:
            removable.append(found)
    whole = [v for v in stored if needed[v.dimension, v.number].level == "whole"]
    return RegistryContent(sizes, removable, needed, whole)


@translates_errors
def logged_runs(store: Store) -> set[str]:
    """The runs of trainings that a decision names."""
    return {run.data.tags.get(tags.TRAIN_RUN, "") for run in all_runs(store, tags.DECISIONS_EXPERIMENT)}


@translates_errors
def prune(
    store: Store,
    rules: Rules,
    noted: Mapping[str, Collection[int]],
    now: datetime,
    kinds: Collection[str] = ("versions", "runs"),
) -> list[Removable]:
    """Remove what of these kinds may go, and return it. Each few are found anew under the registry's lock.

    A champion that somebody makes meanwhile is thus kept. Raises Busy where another process holds the lock.
    """
    removed = list[Removable]()
    while True:
        with store.lock() as held:
            removable = content(held, rules, noted, now).removable
            some = [found for found in removable if found.kind in kinds][:AT_ONCE]
            for found in some:
                _remove(held, found, now)
        removed += some
        if len(some) < AT_ONCE:
            return removed


def _runs(
    store: Store,
    stored: list[Version],
    runs: "Mapping[str, Run]",
    logged: Collection[str],
    rules: Rules,
    now: datetime,
) -> Iterator[Removable]:
    """Every run of a training with its files' bytes; without a `why`, it stays."""
    owned = {version.run_id for version in stored} | set(logged)
    for run in runs.values():
        ended = run.info.end_time or run.info.start_time
        young = rules.is_young(datetime.fromtimestamp(ended / 1000, UTC), now)
        why = "" if run.info.run_id in owned or young else f"no version, and older than {rules.days} days"
        yield _run(store, run, why)
    for run in all_runs(store, tags.TRAIN_EXPERIMENT, deleted=True):
        left = _run(store, run, "deleted before, its files were left")
        if left.bytes and run.info.run_id not in owned:
            yield left


def _run(store: Store, run: "Run", why: str) -> Removable:
    place = run.info.artifact_uri or ""
    size = sum(stored_files(store, place).values())
    named = f"{run.info.run_name} ({run.info.run_id[:8]})"
    return Removable("runs", named, why, size, run_id=run.info.run_id, place=place)


def _files(store: Store, version: Version) -> dict[str, int]:
    with passing_over(ABSENT, INVALID):  # a version made by hand may have any address for its files
        return stored_files(store, location(store, version))
    return {}


def _is_card(path: str) -> bool:
    return PurePosixPath(path).name == CARD


def _remove(store: Store, found: Removable, now: datetime) -> None:
    client, version = store.client, found.version
    if version is None:
        remove_files(store, found.place)
        _delete_run(store, found.run_id)
        return
    place = location(store, version)
    if found.keeps_record:
        set_tag(store, version, tags.PRUNED, f"{now.date().isoformat()}: {found.why}")
        remove_files(store, place, lambda path: not _is_card(path))
        return
    remove_files(store, place)
    if logged_model(store, version.model_id):
        client.delete_logged_model(version.model_id)
    client.delete_model_version(model_name(version.dimension), str(version.number))
    with passing_over(ABSENT, INVALID):
        run = client.get_run(version.run_id)
        remove_files(store, run.info.artifact_uri or "")
        _delete_run(store, version.run_id)


def _delete_run(store: Store, run_id: str) -> None:
    if store.client.get_run(run_id).info.lifecycle_stage == "active":
        store.client.delete_run(run_id)
