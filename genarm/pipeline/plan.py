"""What a run would do and why: what DVC finds changed, carried to the stages that follow."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from rich.table import Table
from rich.text import Text

from genarm.data import dvc
from genarm.data.dvc_lock import read_records
from genarm.pipeline.changed_parameters import SHOWN, changes
from genarm.pipeline.incumbents import differing
from genarm.pipeline.project import Project
from genarm.pipeline.stage_names import (
    RESPOND_CHAMPION,
    TRAIN,
    dimension_of,
    measuring_stages,
    stage_of,
    tuning_stages,
)
from genarm.types import Champion

NEVER = "never run here"
# Stage, parameter file, the keys that changed with how they did -> the changes in words.
Told = Callable[[str, str, Mapping[str, object]], list[str]]


@dataclass(frozen=True, slots=True)
class PlannedStage:
    """One stage: whether it would run, and its own changes or the stage before it that make it run."""

    stage: str
    runs: bool
    why: str


def plan(project: Project) -> list[PlannedStage]:
    """Every stage in running order.

    A stage after one that runs is listed as running too, though DVC may find its inputs unchanged after all
    and skip it.
    """
    changed, upstream = _noted(project, dvc.status(project.root)), dvc.graph(project.root)
    in_use = _in_use(project, planned_stages(changed, upstream))
    recorded = read_records(project.root)

    def told(stage: str, file: str, keys: Mapping[str, object]) -> list[str]:
        before = recorded.parameters.get(stage, {}) if recorded else {}
        return changes(project.root, file, before.get(file) or {}, keys)

    return list(
        planned_stages(changed, upstream, in_use, told, set(recorded.parameters if recorded else ())).values()
    )


def _noted(project: Project, found: Mapping[str, Sequence[object]]) -> dict[str, Sequence[object]]:
    """DVC's changes with those of incumbents that a run notes before it measures."""
    changed = dict(found)
    for dimension, (before, now) in differing(project).items():
        stage, versions = stage_of(RESPOND_CHAMPION, dimension), [_named(before), _named(now)]
        changed[stage] = [*changed.get(stage, []), f"incumbent of {dimension} {' -> '.join(versions)}"]
    return changed


def _named(version: Champion | None) -> str:
    return f"version {version.version}" if version else "none"


def _by_key(_stage: str, _file: str, keys: Mapping[str, object]) -> list[str]:
    return [f"{key} {how}" for key, how in keys.items()]


def planned_stages(
    changed: Mapping[str, Sequence[object]],
    upstream: Mapping[str, Sequence[str]],
    in_use: Collection[str] = (),
    told: Told = _by_key,
    recorded: Collection[str] | None = None,
) -> dict[str, PlannedStage]:
    """The plan from DVC's changes and its graph, by stage; of several causes only the nearest.

    `in_use` are the dimensions whose ARM is in use already: as in a run, the stages that would measure it are
    left out. `told` puts changed parameters into words, and
    `recorded` are the stages that `dvc.lock` knows, if it was looked at.
    """
    dimensions = [d for s in upstream if (d := dimension_of(s)) and s == stage_of(TRAIN, d)]
    left_out = {*_after_training(dimensions)} - {*_after_training(dimensions, in_use)}
    planned: dict[str, PlannedStage] = {}
    for stage, above in upstream.items():
        before = [s for s in planned if s in above and planned[s].runs]  # in running order
        if recorded is not None and stage in changed and stage not in {dvc.POINTER, *recorded}:
            reasons = [NEVER]
        else:
            reasons = _reasons(stage, changed.get(stage, []), told, follows=bool(before))
        reasons = reasons or [f"after {s}" for s in before[-1:]]
        if reasons and stage in left_out:
            planned[stage] = PlannedStage(stage, False, "the ARM is in use already")
        else:
            planned[stage] = PlannedStage(stage, bool(reasons), ", ".join(reasons))
    return planned


def _after_training(dimensions: Sequence[str], in_use: Collection[str] = ()) -> list[str]:
    return [*tuning_stages(dimensions, in_use), *measuring_stages(dimensions, in_use)]


def _in_use(project: Project, planned: Mapping[str, PlannedStage]) -> set[str]:
    """The dimensions whose ARM is the champion and would not be trained again."""
    return {
        dimension
        for dimension, champion in project.champions(missing_ok=True).items()
        if champion
        and (training := planned.get(stage_of(TRAIN, dimension)))
        and not training.runs
        and project.is_in_use(dimension, champion)
    }


def render(stages: Sequence[PlannedStage]) -> Table:
    """The plan as a table."""
    table = Table(show_edge=False, pad_edge=False)
    table.add_column("stage", no_wrap=True)
    table.add_column("runs", no_wrap=True)
    table.add_column("why", overflow="fold")
    for planned in stages:
        runs = Text("yes", style="bold") if planned.runs else "no"
        table.add_row(planned.stage, runs, Text(planned.why))
    return table


def _reasons(stage: str, entries: Sequence[object], told: Told, follows: bool) -> list[str]:
    """DVC's status entries as words: `train.beta 0.02 -> 0.05`, `genarm/data modified`.

    What a stage before it wrote is no cause of its own where that stage runs too (`follows`).
    """
    if any(isinstance(e, dict) and e.get("changed deps", {}).get("params.yaml") == "new" for e in entries):
        return [NEVER]  # so all it reads is new and all it writes is missing
    words: list[str] = []
    paths: dict[str, list[str]] = {}
    for entry in entries:
        if not isinstance(entry, dict):
            words.append("command changed" if entry == "changed command" else str(entry))
            continue
        for what, changed in entry.items():
            for path, how in changed.items():
                if isinstance(how, dict):  # a parameter file: its keys
                    words += told(stage, path, how)
                elif not (follows and what == "changed deps" and path.startswith("artifacts")):
                    paths.setdefault(str(how), []).append(path)
    return words + [f"{several(names)} {how}" for how, names in paths.items()]


def several(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    shown = ", ".join(names[:SHOWN])
    return shown if len(names) <= SHOWN else f"{shown} and {len(names) - SHOWN} more"
