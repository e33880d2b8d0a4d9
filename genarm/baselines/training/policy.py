"""A trained policy: its curves, and the folder that takes its place once it is complete."""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from genarm.system import metric_names as names
from genarm.training.checkpoints import disk_errors_named
from genarm.types import Provenance

EXTRA = "pip install 'genarm[baselines]'"
# A policy guides by contrast at weight 1: then it is what answers.
POLICY = Provenance(data_md5=None, git_commit=None, weight=1.0, guidance="contrast")


@contextmanager
def replacing(out: Path) -> Iterator[Path]:
    """A folder to write to, which takes the place of `out` once it is complete."""
    beside, old = (out.with_name(f".{out.name}.{kind}") for kind in ("new", "old"))
    for folder in (beside, old):
        shutil.rmtree(folder, ignore_errors=True)
    beside.mkdir(parents=True)
    with disk_errors_named(out):
        yield beside
        if out.exists():
            out.rename(old)
        beside.rename(out)
    shutil.rmtree(old, ignore_errors=True)


def curves_of(log: list[dict[str, Any]], called: Mapping[str, str]) -> list[dict[str, float]]:
    """The metrics named in `called`, by their names here, of each step in a trainer's log."""
    return [
        {
            names.STEP: float(row[names.STEP]),
            **{own: float(row[key]) for key, own in called.items() if key in row},
        }
        for row in log
        if names.LOSS in row
    ]
