"""How stages and warm starts get a version's ARM without knowing the registry: by a function."""

from pathlib import Path

from genarm import registry
from genarm.pipeline.project import Project
from genarm.types import Champion


def fetch_version(project: Project, dimension: str, version: Champion, into: Path) -> Path:
    """The folder of a version's ARM, checked against its hash; only a call opens the registry.

    `functools.partial(fetch_version, project)` is a `Fetch`.
    """
    return registry.connect(project.root).fetch(dimension, version, into)
