"""Which version training starts from, noted in `mlflow/starts.json` so that DVC sees when it changes.

With `warm_start: champion`, training starts from the version in use as new preferences arrive. A champion
that was already trained on the present data is not trained on them a second time: training then starts where
that champion itself started. Under the same parameters it gives the same bytes again, under others a rival
with the same start.
"""

from pathlib import Path

from filelock import FileLock

from genarm.data.dvc import data_version
from genarm.errors import ConfigError
from genarm.models.arm import read_card
from genarm.pipeline.project import Fetch, Project
from genarm.pipeline.served import best_of
from genarm.system.files import read_json, write_json
from genarm.types import Champion


def read_starts(project: Project) -> dict[str, Champion | None]:
    """The version that each dimension starts from; None where it starts anew."""
    return read_json(project.layout.starts, dict[str, Champion | None])


def note_starts(project: Project, fetch: Fetch) -> list[str]:
    """Write `mlflow/starts.json` from champions, parameters and data; returns the dimensions that changed."""
    path, params = project.layout.starts, project.params
    now: dict[str, Champion | None] = {
        d: _start(project, d, fetch) if params.train_config(d).warm_start else None for d in params.dimensions
    }
    before = read_starts(project) if path.is_file() else {}
    if before != now:
        write_json(path, now)
    return [d for d in params.dimensions if before.get(d) != now[d]]


def fetch_start(project: Project, dimension: str, fetch: Fetch) -> tuple[Path, Champion] | None:
    """The folder of the ARM to start from and the version it belongs to; None where training starts anew."""
    if not project.params.train_config(dimension).warm_start:
        return None
    version = read_starts(project).get(dimension)
    return None if version is None else (_fetched(project, dimension, version, fetch), version)


def _start(project: Project, dimension: str, fetch: Fetch) -> Champion | None:
    champion = project.champions().get(dimension)
    if champion is None:
        return None
    folder = _fetched(project, dimension, champion, fetch)
    if (found := best_of(folder)) is not None:
        raise ConfigError(
            f"{dimension}: training is to start from the champion, version {champion.version}, "
            f"which is {found} and no ARM",
            hint=f"set warm_start: null, or genarm registry rollback {dimension} --reason TEXT",
        )
    card = read_card(folder)
    has_seen_the_data = card.data_md5 is not None and card.data_md5 == data_version(project.root)
    return card.warm_start if has_seen_the_data else champion


def _fetched(project: Project, dimension: str, version: Champion, fetch: Fetch) -> Path:
    folder = project.layout.start_arm(dimension)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(f".{dimension}.lock")):  # several processes of one training fetch it
        return fetch(dimension, version, folder)
