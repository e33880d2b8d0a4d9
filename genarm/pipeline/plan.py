"""What a run would do and why: what DVC finds changed, carried to the stages that follow."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from rich.table import Table
from rich.text import Text

from genarm.data import dvc
from genarm.pipeline.project import Project
from genarm.pipeline.stage_names import TRAIN, dimension_of, measuring_stages, stage_of


@dataclass(frozen=True, slots=True)
class PlannedStage:
    """One stage: whether it would run, and the changes or the stages before it that make it run."""

    stage: str
    runs: bool
    why: str


def plan(project: Project) -> list[PlannedStage]:
    """Every stage in running order.

    A stage after one that runs is listed as running too, though DVC may find its inputs unchanged after all
    and skip it.
    """
    changed, upstream = dvc.status(project.root), dvc.graph(project.root)
    in_use = _in_use(project, planned_stages(changed, upstream))
    return list(planned_stages(changed, upstream, in_use).values())


def planned_stages(
    changed: Mapping[str, Sequence[object]],
    upstream: Mapping[str, Sequence[str]],
    in_use: Collection[str] = (),
) -> dict[str, PlannedStage]:
    """The plan from DVC's changes and its graph, by stage.

    `in_use` are the dimensions whose ARM is in use already: as in a run, the stages that would measure it are
    left out.
    """
    dimensions = [d for s in upstream if (d := dimension_of(s)) and s == stage_of(TRAIN, d)]
    left_out = {*measuring_stages(dimensions)} - {*measuring_stages(dimensions, in_use)}
    planned: dict[str, PlannedStage] = {}
    for stage, above in upstream.items():
        reasons = [*_reasons(changed.get(stage, [])), *(f"after {s}" for s in above if planned[s].runs)]
        if reasons and stage in left_out:
            planned[stage] = PlannedStage(stage, False, "the ARM is in use already")
        else:
            planned[stage] = PlannedStage(stage, bool(reasons), ", ".join(reasons))
    return planned


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
    for column in ("stage", "would run", "why"):
        table.add_column(column, overflow="fold")
    for planned in stages:
        table.add_row(planned.stage, Text("yes", style="bold") if planned.runs else "no", planned.why)
    return table


def _reasons(entries: Sequence[object]) -> list[str]:
    """DVC's status entries as words: `artifacts/pairs modified`."""
    if any(isinstance(e, dict) and e.get("changed deps", {}).get("params.yaml") == "new" for e in entries):
        return ["never run here"]  # so all it reads is new and all it writes is missing
    words = []
    for entry in entries:
        if isinstance(entry, dict):
            for changes in entry.values():
                words += [f"{path} {_kind(kind)}" for path, kind in changes.items()]
        else:
            words.append(str(entry))
    return words


def _kind(kind: object) -> str:
    if isinstance(kind, dict):  # a parameter file: its keys
        return ", ".join(f"{key} {how}" for key, how in kind.items())
    return str(kind)
