"""`genarm status`: what is in use, what ran, what runs next, and what waits for a person."""

from pathlib import Path
from typing import Annotated

import typer

from genarm.cli.console import Json, out, root, show


def status(
    metrics: Annotated[
        Path | None, typer.Option(help="write it as metrics of Prometheus to FILE.prom, and print nothing")
    ] = None,
    as_json: Json = False,
) -> None:
    """Tell what is in use, what ran last, what runs next, how old the data is, and what waits for a person.

    Exit code 1 only if nothing could be read.
    """
    here = root()
    from genarm.watch.metrics import check, write
    from genarm.watch.status import status as ask

    if metrics:
        check(metrics)
    found = ask(here)
    if metrics:
        write(found, metrics)
    if as_json:
        show(found, True)
    elif not metrics:
        from genarm.cli.status_view import status_view

        for line in status_view(found):
            out.print(line, soft_wrap=True)  # a line that is cut cannot be copied
    if found.is_unknown:
        raise typer.Exit(1)
