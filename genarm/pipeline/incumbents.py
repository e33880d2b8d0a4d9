"""The incumbents: the versions that challengers are measured against, as `mlflow/incumbents.json` notes them.

They are the champions when a run begins to measure. A promotion makes the challenger the champion and leaves
them alone, so what was measured stays up to date: another clone has nothing to run, and `dvc repro` decides
as the run did.
"""

from collections.abc import Mapping

from genarm.errors import AdapterError
from genarm.pipeline.project import Project
from genarm.pipeline.stage_names import DECIDE, RESPOND_CHAMPION, stage_of
from genarm.system.files import write_json
from genarm.types import Champion


def note_incumbents(project: Project) -> set[str]:
    """Note the champions as a run begins to measure; returns the stages that this changes."""
    return _note(project, {d: project.champions().get(d) for d in project.params.dimensions})


def follow_operator(project: Project) -> set[str]:
    """The same after an operator moved an alias, except where the ARM trained here is the champion.

    No run measures that one again, and what it was measured against is still what its decision rests on.
    """
    before, now = project.incumbents(missing_ok=True), project.champions()
    dimensions = project.params.dimensions
    kept = {d for d in dimensions if d in before and _is_in_use(project, d, now.get(d))}
    return _note(project, {d: before[d] if d in kept else now.get(d) for d in dimensions})


def differing(project: Project) -> dict[str, tuple[Champion | None, Champion | None]]:
    """The dimensions whose champion is not the incumbent noted, with incumbent and champion."""
    noted, champions = project.incumbents(missing_ok=True), project.champions(missing_ok=True)
    return {d: (noted.get(d), champion) for d, champion in champions.items() if noted.get(d) != champion}


def _note(project: Project, now: Mapping[str, Champion | None]) -> set[str]:
    before = project.incumbents(missing_ok=True)
    if before == now:
        return set()
    write_json(project.layout.incumbents, dict(now))
    return {DECIDE, *(stage_of(RESPOND_CHAMPION, d) for d in now if before.get(d) != now[d])}


def _is_in_use(project: Project, dimension: str, champion: Champion | None) -> bool:
    try:
        return project.is_in_use(dimension, champion)
    except AdapterError:  # none was trained here
        return False
