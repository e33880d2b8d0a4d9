"""What follows from a change of champions: the files of a project that say which version is in use."""

from functools import partial

from genarm.pipeline.incumbents import follow_operator
from genarm.pipeline.project import Project
from genarm.pipeline.registry_fetch import fetch_version
from genarm.pipeline.warm_start import note_starts
from genarm.registry import Registry


def keep_in_step(project: Project, store: Registry) -> None:
    """Let `mlflow/*.json` say what the registry does."""
    store.snapshot(project.layout.champions, list(project.params.dimensions))
    follow_operator(project)
    note_starts(project, partial(fetch_version, project))
