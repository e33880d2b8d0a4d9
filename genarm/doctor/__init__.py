"""`genarm doctor`: examine the set-up without changing it; each finding names the command that mends it."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from genarm.doctor import machine, project, servers
from genarm.doctor.finding import Finding, warn

__all__ = ["Finding", "examine", "render"]

Check = Callable[[Path], list[Finding]]

CHECKS: Sequence[Check] = (
    machine.python, machine.libraries, machine.mlflow_import, machine.telemetry, machine.processor,
    project.parameters, project.base_model, project.data_version, project.git, project.champions,
    project.running, project.room, servers.mlflow, servers.prefect, servers.prefect_home, servers.ports,
)  # fmt: skip
DEEP: Sequence[Check] = (machine.torch_sees, project.dvc_status, servers.registry)
MARKS = {"ok": ("ok", "green"), "warn": ("warn", "yellow"), "fail": ("FAIL", "bold red")}


def examine(root: Path, *, deep: bool = False) -> list[Finding]:
    """All findings, in a fixed order. `deep` also asks DVC, torch and the registry, which takes seconds.

    The checks run side by side, so two silent servers cost one time-out, not two.
    """
    root = root.resolve()
    checks = [*CHECKS, *(DEEP if deep else ())]
    with ThreadPoolExecutor(len(checks)) as pool:
        return [finding for found in pool.map(lambda check: _tried(check, root), checks) for finding in found]


def _tried(check: Check, root: Path) -> list[Finding]:
    try:
        return check(root)
    except Exception as error:  # one check that breaks must not hide what the others found
        name = check.__name__.replace("_", " ")
        return [
            warn(name, f"could not be examined: {type(error).__name__}: {error}", "genarm doctor --debug")
        ]


def render(findings: Sequence[Finding]) -> RenderableType:
    """One line a finding, its fix below it, and a count at the end."""
    table = Table(show_header=False, show_edge=False, box=None, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        mark, style = MARKS[finding.status]
        table.add_row(Text(mark, style=style), finding.check, Text(finding.detail))
        if finding.fix:
            table.add_row("", "", Text(f"-> {finding.fix}", style="bold"))
    count = {status: sum(f.status == status for f in findings) for status in MARKS}
    last = f"{count['fail']} failed, {count['warn']} warnings, {count['ok']} in order"
    return Group(table, Text(last, style="red" if count["fail"] else "green"))
