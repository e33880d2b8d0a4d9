"""`genarm init` and `genarm --version`: what works outside a project."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from genarm import __version__
from genarm.cli.console import Json, out, show


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


def init(
    folder: Annotated[Path, typer.Argument(help="made where there is none; '.' is this one")],
    data: Annotated[
        str | None,
        typer.Option(help="preference pairs: a folder, a file, a glob, a URL, or hf://owner/name@revision"),
    ] = None,
    dimensions: Annotated[
        str, typer.Option(help="such as helpful,harmless; by default one a file or folder of the data")
    ] = "",
    base: Annotated[
        str | None, typer.Option(help="the model to guide: a folder, a .gguf file, or a Hugging Face id")
    ] = None,
    columns: Annotated[
        str, typer.Option(help="such as prompt=question,chosen=good,rejected=bad; by default they are found")
    ] = "",
    as_json: Json = False,
) -> None:
    """Start a project: parameters, stages, a repository of git and DVC, and its data where it is named."""
    from genarm.operations import new_project
    from genarm.operations.data_files import columns_of

    names = [name.strip() for name in dimensions.split(",") if name.strip()]
    project = new_project.create(folder, data, names, base, columns_of(columns))
    if as_json:
        show(project, as_json)
        return
    out.print(f"wrote in {project.folder}:", soft_wrap=True, highlight=False)
    for name in project.written:
        out.print(f"  {name}", highlight=False)
    for name in project.kept:
        out.print(f"  {name} was there already and is unchanged", highlight=False)
    for line in project.told:
        out.print(line, soft_wrap=True, highlight=False)
    out.print("next:")
    commands = project.next
    if project.folder != Path.cwd():
        commands = [f"cd {shlex.quote(str(folder))}", *commands]
    for command in commands:
        out.print(f"  {command}", highlight=False, soft_wrap=True)
