"""What a run would do and why, before it does it: DVC's own view of what changed, carried downstream."""

from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from genarm import versioning


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
    steps: dict[str, Step] = {}
    for stage, above in upstream.items():
        reasons = [*_reasons(changed.get(stage, [])), *(f"after {s}" for s in above if steps[s].runs)]
        steps[stage] = Step(stage, bool(reasons), ", ".join(reasons))
    return list(steps.values())


def render(steps: list[Step]) -> Table:
    """The plan as a table."""
    table = Table(show_edge=False, pad_edge=False)
    for column in ("stage", "would run", "why"):
        table.add_column(column, overflow="fold")
    for step in steps:
        table.add_row(step.stage, "[bold]yes[/]" if step.runs else "no", step.why)
    return table


def _reasons(entries: list[object]) -> list[str]:
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
