"""What a run would do and why, before it does it: DVC's own view of what changed, carried downstream."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from genarm.data import dvc as versioning
from genarm.models import arm as arms
from genarm.pipeline import stages
from genarm.system.layout import Layout

OF_A_CHALLENGER = ("respond", "respond-champion", "judge")
OF_ANY_CHALLENGER = ("respond-base", "decide", "report")


@dataclass(frozen=True, slots=True)
class Step:
    """One stage: whether it would run, and the changes or the stages before it that make it."""

    stage: str
    runs: bool
    why: str


def plan(root: Path) -> list[Step]:
    """Every stage in running order. A stage after one that runs is listed too, though DVC may find its inputs
    unchanged after all and skip it."""
    changed, upstream = versioning.status(root), versioning.graph(root)
    in_use = _in_use(root, steps(changed, upstream))
    return list(steps(changed, upstream, in_use).values())


def steps(
    changed: Mapping[str, Sequence[object]],
    upstream: Mapping[str, Sequence[str]],
    in_use: Collection[str] = (),
) -> dict[str, Step]:
    """DVC's changes carried downstream; what would measure an ARM in use is left out, as a run does."""
    left_out = {f"{verb}@{dimension}" for verb in OF_A_CHALLENGER for dimension in in_use}
    if in_use and all(s.removeprefix("train@") in in_use for s in upstream if s.startswith("train@")):
        left_out.update(OF_ANY_CHALLENGER)
    found: dict[str, Step] = {}
    for stage, above in upstream.items():
        reasons = [*_reasons(changed.get(stage, [])), *(f"after {s}" for s in above if found[s].runs)]
        if reasons and stage in left_out:
            found[stage] = Step(stage, False, "the ARM is in use already")
        else:
            found[stage] = Step(stage, bool(reasons), ", ".join(reasons))
    return found


def _in_use(root: Path, planned: Mapping[str, Step]) -> set[str]:
    """The dimensions whose ARM is the champion and would not be trained again."""
    layout = Layout(root)
    champions = stages.read_champions(root) if layout.champions.is_file() else {}
    return {
        dimension
        for dimension, champion in champions.items()
        if champion
        and (step := planned.get(f"train@{dimension}"))
        and not step.runs
        and arms.adapter_hash(layout.arm(dimension)) == champion.adapter_sha256
    }


def render(steps: list[Step]) -> Table:
    """The plan as a table."""
    table = Table(show_edge=False, pad_edge=False)
    for column in ("stage", "would run", "why"):
        table.add_column(column, overflow="fold")
    for step in steps:
        table.add_row(step.stage, "[bold]yes[/]" if step.runs else "no", step.why)
    return table


def _reasons(entries: Sequence[object]) -> list[str]:
    """DVC's status entries as words: `artifacts/pairs modified`."""
    if any(isinstance(e, dict) and e.get("changed deps", {}).get("params.yaml") == "new" for e in entries):
        return ["never run here"]  # and so everything it reads is new, and everything it writes missing
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
