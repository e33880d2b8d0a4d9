"""`genarm doctor`: examine the set-up without changing it; each problem comes with its fix."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from genarm.doctor import (
    disk,
    installation,
    locks,
    machine,
    mlflow_store,
    ports,
    prefect_server,
    project,
    proxies,
    versioning,
)
from genarm.doctor.ahead import ahead
from genarm.doctor.base_model import base_model
from genarm.doctor.prefect_database import prefect_database
from genarm.errors import GenarmError
from genarm.pipeline.check_result import CheckResult, fail, warn
from genarm.system.counted import counted
from genarm.system.redact import redact

__all__ = ["CheckResult", "examine", "render"]

Check = Callable[[Path], list[CheckResult]]

CHECKS: Sequence[Check] = (
    installation.python, installation.libraries, installation.mlflow_import, installation.telemetry,
    machine.processor, project.parameters, ahead, base_model, versioning.data_version, versioning.git,
    project.champions, locks.running, disk.room, mlflow_store.mlflow, prefect_server.prefect,
    prefect_server.prefect_home, prefect_database, proxies.proxies, ports.ports,
)  # fmt: skip
DEEP_CHECKS: Sequence[Check] = (
    machine.torch_sees, prefect_server.server_imports, versioning.dvc_status, versioning.contents,
    mlflow_store.registry,
)  # fmt: skip
MARKS = {"ok": ("ok", "green"), "warn": ("warn", "yellow"), "fail": ("FAIL", "bold red")}


def examine(root: Path, *, deep: bool = False) -> list[CheckResult]:
    """The results of all checks, in a fixed order. `deep` also asks torch, DVC and the registry: seconds.

    The checks run side by side, so that two silent servers cost one time-out, not two.
    """
    root = root.resolve()
    checks = [*CHECKS, *(DEEP_CHECKS if deep else ())]
    with ThreadPoolExecutor(len(checks)) as pool:
        return [result for results in pool.map(lambda check: _run(check, root), checks) for result in results]


def _run(check: Check, root: Path) -> list[CheckResult]:
    try:
        return check(root)
    except GenarmError as error:
        return [fail(check.__name__.replace("_", " "), error.message, error.hint or "genarm doctor --debug")]
    except Exception as error:  # a check that breaks must not hide what the others report
        name = check.__name__.replace("_", " ")
        return [
            warn(
                name,
                redact(f"could not be examined: {type(error).__name__}: {error}"),
                "genarm doctor --debug",
            )
        ]


def render(results: Sequence[CheckResult]) -> RenderableType:
    """One line for each result, its fix below it, and a count at the end."""
    table = Table(show_header=False, show_edge=False, box=None, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for result in results:
        mark, style = MARKS[result.status]
        table.add_row(Text(mark, style=style), result.check, Text(result.detail))
        if result.fix:
            table.add_row("", "", Text(f"-> {result.fix}", style="bold"))
    count = {status: sum(result.status == status for result in results) for status in MARKS}
    warnings = counted(count["warn"], "warning")
    summary = f"{count['fail']} failed, {warnings}, {count['ok']} in order"
    return Group(table, Text(summary, style="red" if count["fail"] else "green"))
