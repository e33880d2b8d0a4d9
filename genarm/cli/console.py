"""What the commands share: the project they run in, and output for people and for machines."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from genarm.errors import ConfigError, DataError, PipelineError, Unreachable
from genarm.pipeline.project import Project
from genarm.system import env
from genarm.system.redact import redact

if TYPE_CHECKING:
    from genarm.pipeline.check_result import CheckResult

PARAMS = "params.yaml"
# What is shown may hold brackets and colons of its own: a path, a reason, a name.
out, err = Console(markup=False, emoji=False), Console(stderr=True, emoji=False)
Json = Annotated[bool, typer.Option("--json", help="print JSON, for machines")]
Dimension = Annotated[str, typer.Argument(help="a preference dimension of params.yaml")]


def root() -> Path:
    """The folder of the project that the command runs in, with the environment prepared.

    Raises ConfigError outside a project.
    """
    here = env.project_root()
    if not (here / PARAMS).is_file():
        raise ConfigError(
            f"this is no project: neither {here} nor a folder above it holds {PARAMS}",
            hint="run genarm in the folder of a project, or start one: genarm init my-project",
        )
    return folder()


def folder() -> Path:
    """The same for a command that has something to say outside a project too."""
    here = env.project_root()
    env.prepare(here)
    return here


def project() -> Project:
    """The project that the command runs in, with the environment prepared."""
    return Project(root())


def stage_project(stage: str, dimension: str = "") -> Project:
    """The project, for a command that is a stage: where DVC runs it, what it reads is checked first."""
    from genarm.pipeline.elsewhere import refuse_to_run
    from genarm.pipeline.verify import verify_stage

    refuse_to_run()
    here = project()
    verify_stage(here, stage, dimension)
    return here


def flow_root() -> Path:
    """The project's folder, for a command that runs a flow, once nothing stands in the flow's way.

    Nothing is started or written before that is known. Raises ConfigError where there is no project or its
    parameters are wrong, Unreachable if its Prefect server is away, PipelineError where Prefect cannot run.
    """
    here = project()
    _ = here.params
    from genarm.doctor.prefect_database import prefect_database
    from genarm.doctor.prefect_server import prefect, prefect_home
    from genarm.doctor.proxies import proxies

    for check in (proxies, prefect, prefect_home, prefect_database):
        for result in check(here.root):
            if result.status == "fail":
                error = Unreachable if check is prefect else PipelineError
                raise error(result.detail, hint=result.fix)
    return here.root


def run_root() -> Path:
    """The same for a command that trains: also once all is checked that can be known before.

    Raises PipelineError with everything that would keep the run from ending well.
    """
    folder = flow_root()
    if not any((folder / name).exists() for name in ("data", "data.dvc")):
        raise DataError(f"{folder} has no preference data yet", hint="genarm data SOURCE")
    from genarm.pipeline.preflight import require_ahead

    require_ahead(Project(folder))  # what it warns of is in the log of the run
    return folder


def show_findings(results: Sequence["CheckResult"]) -> None:
    """Warnings and failures on standard error, one a line with its way out; nothing where all is in order."""
    for result in results:
        if result.status != "ok":
            mark = "[bold red]would fail[/]:" if result.status == "fail" else "[yellow]warning[/]:"
            err.print(mark, escape(redact(result.detail)), highlight=False, soft_wrap=True)
            err.print("[bold]hint[/]:", escape(redact(result.fix)), highlight=False, soft_wrap=True)


def _flat(value: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    """A nested mapping as rows: `splits.train.pairs`, `883`."""
    for name, entry in value.items():
        if isinstance(entry, Mapping) and entry:
            yield from _flat(entry, f"{above}{name}.")
        elif isinstance(entry, float):
            yield f"{above}{name}", f"{entry:.4g}"
        elif not isinstance(entry, Mapping):
            yield f"{above}{name}", ", ".join(map(str, entry)) if isinstance(entry, list) else str(entry)


def show(value: Any, as_json: bool) -> None:
    """Print a result to standard output."""
    from genarm.system.files import to_json

    if as_json:
        print(to_json(value))
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        table = Table(*value[0], show_edge=False, pad_edge=False)
        for row in value:
            table.add_row(*(", ".join(v) if isinstance(v, list) else str(v) for v in row.values()))
        out.print(table)
    elif isinstance(value, dict):
        table = Table(box=None, show_header=False, show_edge=False, pad_edge=False)
        for name, entry in _flat(value):
            table.add_row(name, Text(entry))
        out.print(table)
    else:
        out.print(value)
