"""`genarm registry`: versions, champions, promotion and rollback."""

from typing import Annotated

import typer

from genarm.cli.console import Dimension, Json, out, project, show

app = typer.Typer(no_args_is_help=True, help="Versions, champions, promotion and rollback.")


@app.command("list")
def list_versions(as_json: Json = False) -> None:
    """Every version of every dimension, with its aliases."""
    from genarm.operations.registry import versions

    show(versions(project()), as_json)


@app.command("show")
def show_version(
    dimension: Dimension,
    version: Annotated[str, typer.Argument(help="a number or an alias")] = "champion",
    as_json: Json = False,
) -> None:
    """One version: metrics, lineage, trail."""
    from genarm.operations.registry import version as find

    show(find(project(), dimension, version), as_json)


@app.command()
def promote(
    dimension: Dimension,
    version: Annotated[int | None, typer.Option(help="another than the last decision's")] = None,
    force: Annotated[str | None, typer.Option(help="the reason to act against the decision")] = None,
) -> None:
    """Carry out the last decision on a dimension by hand, or choose a version and say why."""
    from genarm.operations.registry import promote as carry_out

    out.print(carry_out(project(), dimension, version, force or ""))


@app.command()
def check() -> None:
    """Compare mlflow/champions.json with the aliases; exit code 1 where they differ."""
    from genarm.operations.registry import drift

    differences = drift(project())
    for line in differences or ["mlflow/champions.json agrees with the registry"]:
        out.print(line)
    if differences:
        raise typer.Exit(1)


@app.command()
def rollback(
    dimension: Dimension,
    reason: Annotated[str, typer.Option(help="is recorded, and blocks the version")],
    to: Annotated[int | None, typer.Option(help="version; the previous one by default")] = None,
) -> None:
    """Put the previous champion back, and block the present one."""
    from genarm.operations.registry import rollback as move_back

    move_back(project(), dimension, reason, to, say=out.print)


@app.command()
def reconcile() -> None:
    """Finish or undo what a crash left half done, and write mlflow/champions.json anew."""
    from genarm.operations.registry import reconcile as finish

    for line in finish(project()):
        out.print(line)
