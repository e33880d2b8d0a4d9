"""What doors hand to stages and warm starts so that these need no registry: a version's ARM, on request."""

from pathlib import Path

from genarm import registry
from genarm.pipeline.project import Project
from genarm.types import Champion


def fetch_version(project: Project, dimension: str, version: Champion, into: Path) -> Path:
    """The folder of a version's ARM, checked against its hash; only a call opens the registry.

    `functools.partial(fetch_version, project)` is a `Fetch`.
    """
    return registry.connect(project.root).fetch(dimension, version, into)
