"""`genarm registry`: versions, champions, promotion and rollback."""

from typing import Annotated

import typer

from genarm.cli.console import Dimension, Json, err, out, project, show
from genarm.pipeline.project import Project

app = typer.Typer(no_args_is_help=True, help="Versions, champions, promotion and rollback.")


@app.command("list")
def list_versions(as_json: Json = False) -> None:
    """Every version of every dimension: its win rate, and what became of it."""
    from genarm.cli.registry_view import versions_table
    from genarm.operations.registry import versions

    rows = versions(project())
    show(rows if as_json else versions_table(rows), as_json)


@app.command("show")
def show_version(
    dimension: Dimension,
    version: Annotated[
        str, typer.Argument(help="a number or an alias; the champion or, while there is none, the newest")
    ] = "",
    as_json: Json = False,
) -> None:
    """One version: who made it the champion, when and why, metrics, trail, lineage."""
    from genarm.cli.registry_view import version_view
    from genarm.operations.registry import version as find

    found = find(project(), dimension, version)
    show(found if as_json else version_view(found), as_json)


@app.command()
def promote(
    dimension: Dimension,
    version: Annotated[int | None, typer.Option(help="another than the last decision's")] = None,
    force: Annotated[str | None, typer.Option(help="the reason to act against the decision")] = None,
    as_json: Json = False,
) -> None:
    """Carry out the last decision on a dimension by hand, or choose a version and say why."""
    from genarm.operations.registry import promote as carry_out

    here = project()
    done = carry_out(here, dimension, version, force or "").splitlines()
    _tell(done, as_json)
    if as_json:
        _show_champion(here, dimension, done)
    from genarm.watch.events import promoted_by_hand, send

    send(promoted_by_hand(here.root, dimension, done[-1]))


@app.command()
def check(as_json: Json = False) -> None:
    """Compare mlflow/champions.json with the aliases; exit code 1 where they differ."""
    from genarm.operations.registry import drift

    differences = drift(project())
    _tell(differences or ["mlflow/champions.json agrees with the registry"], as_json)
    if as_json:
        show({"agrees": not differences, "differences": differences}, True)
    if differences:
        raise typer.Exit(1)


@app.command()
def rollback(
    dimension: Dimension,
    reason: Annotated[str, typer.Option(help="is recorded, and blocks the version")],
    to: Annotated[int | None, typer.Option(help="version; the previous one by default")] = None,
    as_json: Json = False,
) -> None:
    """Put the previous champion back, and block the present one."""
    from genarm.operations.registry import rollback as move_back

    here, done = project(), list[str]()

    def say(line: str) -> None:
        _tell([line], as_json)
        done.append(line)

    move_back(here, dimension, reason, to, say=say)
    if as_json:
        _show_champion(here, dimension, done)
    from genarm.watch.events import rolled_back, send

    send(rolled_back(here.root, dimension, reason, done[-1]))


@app.command()
def reconcile(as_json: Json = False) -> None:
    """Finish or undo what a crash left half done, and write mlflow/champions.json anew."""
    from genarm.operations.registry import reconcile as finish

    done = finish(project())
    _tell(done, as_json)
    if as_json:
        show({"done": done}, True)


def _show_champion(here: Project, dimension: str, done: list[str]) -> None:
    """What holds now, and the sentences on what was done, as JSON."""
    from genarm.operations.registry import versions

    rows = [row for row in versions(here) if row["dimension"] == dimension and "champion" in row["aliases"]]
    show({"dimension": dimension, "champion": rows[0] if rows else None, "done": done}, True)


def _tell(lines: list[str], as_json: bool) -> None:
    """Sentences for people; beside JSON they go to standard error."""
    for line in lines:
        if as_json:
            err.print(line, markup=False, soft_wrap=True)
        else:
            out.print(line)
