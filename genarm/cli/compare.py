"""`genarm compare`: every method of an experiment on the same prompts, in one table."""

from typing import Annotated

import typer

from genarm.cli.console import Json, err, flow_root, out, project, show
from genarm.cli.runs import interrupt_stays_one


def compare(
    experiment: Annotated[str | None, typer.Argument(help="a folder below experiments/")] = None,
    plan: Annotated[bool, typer.Option("--plan", help="say what would run, and why")] = False,
    methods: Annotated[bool, typer.Option("--methods", help="list methods and trainers")] = False,
    register: Annotated[
        str | None, typer.Option(metavar="ROW", help="put the method of this row on trial in the registry")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="--register: of the training; the first by default")
    ] = None,
    dimension: Annotated[
        str | None, typer.Option(help="--register: whose version it is; by default that of the win rates")
    ] = None,
    unit: Annotated[str | None, typer.Option(hidden=True)] = None,
    as_json: Json = False,
) -> None:
    """Run an experiment: every method on the same prompts, seeds and judges, in one table and one page."""
    if methods or experiment is None:
        from genarm.experiments.kinds import listing

        show(listing(), as_json)
        return
    here = project()
    if unit is not None:
        from genarm.experiments.work import run_unit

        run_unit(here, experiment, unit)
        return
    from genarm.experiments.place import find
    from genarm.experiments.read import load_experiment

    found = load_experiment(here, find(here.root, experiment))
    if plan:
        from genarm.experiments.plan import plan as make_plan
        from genarm.experiments.plan import render, warnings

        units = make_plan(found)
        show(units if as_json else render(units), as_json)
        for line in warnings(found, units):
            err.print("[yellow]warning[/]:", line, highlight=False, soft_wrap=True)
        return
    if register is not None:
        from genarm.experiments.register import register as put_on_trial

        with err.status("registering"):
            made = put_on_trial(found, register, seed=seed, dimension=dimension)
        if as_json:
            show(made, as_json)
        else:
            out.print(str(made), highlight=False, soft_wrap=True)
        return
    folder = flow_root()
    from genarm.flows import temporary_server

    temporary_server.start()
    from genarm.flows import run_console
    from genarm.flows.compare import compare as run_flow

    run_console.install()
    with interrupt_stays_one():
        results = run_flow(experiment, root=str(folder))
    if as_json:
        print((found.place.results / "results.json").read_text(encoding="utf-8"), end="")
        return
    out.print((found.place.results / "table.md").read_text(encoding="utf-8"), highlight=False, soft_wrap=True)
    err.print(f"page      {results}/index.html", soft_wrap=True, highlight=False)
