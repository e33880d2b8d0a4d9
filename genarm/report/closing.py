"""What a run prints at its end: the decisions, where the report is, what to type next."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from genarm.system.layout import Layout
from genarm.types import Decision

COLOURS = {"promote": "green", "hold": "yellow", "reject": "red", "same": "cyan"}


def decisions_table(decisions: Sequence[Decision]) -> Table:
    """One row for each dimension: the outcome and every reason with its numbers."""
    table = Table(show_edge=False, pad_edge=False)
    for column in ("dimension", "decision", "why"):
        table.add_column(column, overflow="fold")
    for decision in decisions:
        outcome = Text(decision.outcome, style=f"bold {COLOURS[decision.outcome]}")
        table.add_row(decision.dimension, outcome, "\n".join(decision.reasons))
    return table


def closing_block(root: Path, decisions: Sequence[Decision], seconds: float) -> RenderableType:
    """The last lines of `make run`."""
    layout = Layout(root)
    report = layout.report / "report.html"
    lines = [
        f"took      {seconds:.0f} s",
        f"report    {report.relative_to(root) if report.is_file() else 'none yet'}",
        "mlflow    .venv/bin/mlflow ui --backend-store-uri sqlite:///mlflow/mlflow.db",
        "prefect   PREFECT_HOME=.prefect .venv/bin/prefect server start",
        "talk      .venv/bin/genarm chat",
    ]
    return Group(Text(), decisions_table(decisions), Text(), *(Text(line) for line in lines))
