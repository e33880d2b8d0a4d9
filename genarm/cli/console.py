"""What the commands share: the project they run in, and output for people and for machines."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from genarm.errors import ConfigError, Unreachable
from genarm.pipeline.project import Project
from genarm.system import env

PARAMS = "params.yaml"
out, err = Console(), Console(stderr=True)
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


def flow_root() -> Path:
    """The project's folder, for a command that runs a flow. Raises Unreachable if its Prefect server is away.

    The environment is prepared before the flow, and so Prefect, is imported.
    """
    folder = root()
    from genarm.doctor.prefect_server import prefect

    for result in prefect(folder):
        if result.status == "fail":
            raise Unreachable(result.detail, hint=result.fix)
    return folder


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
    else:
        out.print(value)
