"""The versions that training goes on from, noted in `mlflow/starts.json` so that DVC sees when they change.

With `warm_start: champion` an ARM is trained on from the version in use as new preferences arrive. That one
is not trained again on the data it was trained on: there training starts where the version itself did, and
comes to the same bytes, or under other parameters to a rival that had the same start.
"""

from pathlib import Path

from filelock import FileLock

from genarm.config import load_params
from genarm.data import dvc as versioning
from genarm.models import arm as arms
from genarm.system.files import read_json, write_json
from genarm.system.layout import Layout
from genarm.types import Champion


def read_starts(root: Path) -> dict[str, Champion | None]:
    """The version that each dimension goes on from; None where it starts anew."""
    return read_json(Layout(root).starts, dict[str, Champion | None])


def note_starts(root: Path) -> list[str]:
    """Write `mlflow/starts.json` from champions, parameters, data; the dimensions whose start moved."""
    layout, params = Layout(root), load_params(root / "params.yaml")
    now: dict[str, Champion | None] = {
        d: _start(root, d) if params.train_config(d).warm_start else None for d in params.dimensions
    }
    before = read_starts(root) if layout.starts.is_file() else {}
    if before != now:
        write_json(layout.starts, now)
    return [d for d in params.dimensions if before.get(d) != now[d]]


def fetch_start(root: Path, dimension: str) -> tuple[Path, Champion] | None:
    """The folder of the ARM to go on from, and the version it is of; None where training starts anew."""
    if not load_params(root / "params.yaml").train_config(dimension).warm_start:
        return None
    version = read_starts(root).get(dimension)
    return None if version is None else (_fetched(root, dimension, version), version)


def _start(root: Path, dimension: str) -> Champion | None:
    champion = read_json(Layout(root).champions, dict[str, Champion | None]).get(dimension)
    if champion is None:
        return None
    card = arms.read_card(_fetched(root, dimension, champion))
    known = card.data_md5 is not None and card.data_md5 == versioning.data_version(root)
    return card.warm_start if known else champion


def _fetched(root: Path, dimension: str, version: Champion) -> Path:
    from genarm import registry

    folder = Layout(root).start_arm(dimension)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(f".{dimension}.lock")):  # several processes of one training ask for it
        return registry.connect(root).fetch(dimension, version, folder)
