"""`genarm init` and `genarm --version`: what works outside a project."""

import shlex
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from genarm import __version__

out = Console(markup=False, emoji=False)


def _show_version(asked: bool) -> None:
    if asked:
        print(f"genarm {__version__}")
        raise typer.Exit


def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Tell all that Prefect, DVC and libraries say, too.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Tell only results and errors.")] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show where in the code an error comes from.")
    ] = False,
) -> None:
    """Align a frozen language model at test time: train, respond, judge, promote."""
    if verbose and quiet:
        raise typer.BadParameter("--verbose and --quiet exclude each other")


def init(folder: Annotated[Path, typer.Argument(help="made where there is none; '.' is this one")]) -> None:
    """Start a project: parameters, stages, and a repository of git and DVC."""
    from genarm.operations import new_project

    project = new_project.create(folder)
    out.print(f"wrote in {project.folder}:", soft_wrap=True, highlight=False)
    for name in project.written:
        out.print(f"  {name}", highlight=False)
    for name in project.kept:
        out.print(f"  {name} was there already and is unchanged", highlight=False)
    out.print("next:")
    commands = new_project.next_commands()
    if project.folder != Path.cwd():
        commands.insert(0, f"cd {shlex.quote(str(folder))}")
    for command in commands:
        out.print(f"  {command}", highlight=False, soft_wrap=True)
