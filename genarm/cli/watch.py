"""`genarm watch`: whether champions still beat the base, on prompts of tonight."""

from typing import Annotated

import typer

from genarm.cli.console import Json, out, project, show


def watch(
    rollback: Annotated[
        bool, typer.Option(help="roll back where watch.rollback says so, or only tell")
    ] = True,
    as_json: Json = False,
) -> None:
    """Measure each champion against the base on fresh prompts, once a day, as every nightly run does."""
    here = project()
    _ = here.params
    from genarm.pipeline.alone import alone
    from genarm.watch import events
    from genarm.watch.nightly import watch as measure

    with alone(here):
        done = measure(here, carry_out=rollback)
    for one in done:
        if not as_json:
            out.print(one.line, soft_wrap=True, highlight=False)
        night = one.night
        if one.measured_now and night.worse:
            events.send(events.champion_worse(here.root, night.dimension, night.version, one.line))
        if one.rolled_back:
            events.send(events.rolled_back(here.root, night.dimension, one.line, one.rolled_back))
    if as_json:
        show(done, True)
    elif not done:
        out.print("no dimension has a champion yet")
