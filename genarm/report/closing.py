"""What a run prints at its end: the decisions, where the report is, what to type next."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.table import Table
from rich.text import Text

from genarm.report.summary import OUTCOMES
from genarm.system.env import local_tracking_uri
from genarm.system.layout import Layout
from genarm.system.redact import redact_url
from genarm.types import Decision

BEGINNING, END = 180, 110  # characters of a reason that are shown; the usual ones are shorter
COLOURS = {"promote": "green", "hold": "yellow", "reject": "red", "same": "cyan"}


def outcomes(decisions: Sequence[Decision], carried_out: bool = True) -> str:
    """All decisions in a few words: `positive promoted, plain held`."""
    words = {**OUTCOMES, "promote": "promoted"} if carried_out else OUTCOMES
    return ", ".join(f"{d.dimension} {words[d.outcome]}" for d in decisions)


def decisions_table(decisions: Sequence[Decision]) -> Table:
    """One row for each dimension: the outcome and every reason with its numbers; a long one is shortened."""
    table = Table(show_edge=False, pad_edge=False, caption_justify="left")
    table.add_column("dimension", no_wrap=True)
    table.add_column("decision", no_wrap=True)
    table.add_column("why", overflow="fold")
    for decision in decisions:
        outcome = Text(decision.outcome, style=f"bold {COLOURS[decision.outcome]}")
        table.add_row(decision.dimension, outcome, "\n".join(map(shortened, decision.reasons)))
    if any(shortened(reason) != reason for decision in decisions for reason in decision.reasons):
        table.caption = "reasons in full: artifacts/decisions.json"
    return table


def shortened(reason: str) -> str:
    """A reason in few lines: how it begins, and how it ends, since a way out stands last."""
    if len(reason) <= BEGINNING + END:
        return reason
    beginning, end = reason[:BEGINNING].rpartition(" ")[0], reason[-END:].partition(" ")[2]
    return f"{beginning} … {end}"


def closing_block(root: Path, seconds: float) -> str:
    """The last lines of a run: where its results are, and the commands that show them.

    Not to be folded: a command that is cut in two cannot be pasted.
    """
    report = Layout(root).report / "report.html"
    scripts = Path(sys.executable).parent
    prefix = f"{scripts.relative_to(root)}/" if scripts.is_relative_to(root) else ""
    return "\n".join(
        [
            f"took      {seconds:.0f} s",
            f"report    {report.relative_to(root) if report.is_file() else 'none yet'}",
            f"mlflow    {_mlflow(root, prefix)}",
            f"prefect   {_prefect(prefix)}",
            f"talk      {prefix}genarm chat",
        ]
    )


def _mlflow(root: Path, prefix: str) -> str:
    """The address of the tracking server, or the command that shows the local store."""
    uri = os.environ.get("MLFLOW_TRACKING_URI") or local_tracking_uri(root)
    if uri.startswith(("http://", "https://")):
        return redact_url(uri)
    local = uri.replace(f"{root.as_posix()}/", "")
    return f"{prefix}mlflow ui --backend-store-uri {redact_url(local)}"


def _prefect(prefix: str) -> str:
    """The address of the Prefect server, or the command that starts one on what this run has noted."""
    uri = os.environ.get("PREFECT_API_URL")
    return (
        redact_url(uri.removesuffix("/api")) if uri else f"PREFECT_HOME=.prefect {prefix}prefect server start"
    )
