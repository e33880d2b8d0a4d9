"""`genarm canary`: the judge of a challenger in service, and its end by hand."""

import time
from pathlib import Path
from typing import Annotated

import typer
from filelock import FileLock, Timeout

from genarm.cli.console import out, project
from genarm.errors import Busy, GenarmError

app = typer.Typer(no_args_is_help=True, help="A challenger that answers a share of the requests.")


@app.command()
def judge(
    once: Annotated[bool, typer.Option("--once", help="look once and stop")] = False,
    every: Annotated[float, typer.Option(min=0.1, help="seconds between two looks")] = 10,
    outcomes: Annotated[
        Path | None, typer.Option(help="JSON Lines of further outcomes, such as people's verdicts")
    ] = None,
) -> None:
    """Judge what both sides answered, beside the server, and promote or stop the challenger."""
    here = project()
    from genarm.canary.judging import CanaryJudge
    from genarm.system.files import read_rows
    from genarm.types import CanaryOutcome

    judging, told = CanaryJudge(here), ""
    lock = here.layout.canary.with_suffix(".lock")
    lock.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(lock, timeout=0):
            while True:
                try:
                    more = read_rows(outcomes, CanaryOutcome) if outcomes else []
                    line = judging.look(more).line
                except GenarmError as error:
                    if once:
                        raise
                    line = f"not judged: {error}"
                if line != told:
                    out.print(line, soft_wrap=True, highlight=False, markup=False)
                told = line
                if once:
                    return
                time.sleep(every)
    except Timeout:
        raise Busy(
            f"another process judges for this project ({lock})",
            hint="one is enough: it looks again and again",
        ) from None


@app.command()
def stop(reason: Annotated[str, typer.Option(help="is recorded with the trial")]) -> None:
    """End the trial that goes on, undecided: its challenger answers no more."""
    here = project()
    from genarm.canary.ending import stop_by_hand

    for line in stop_by_hand(here, reason):
        out.print(line, soft_wrap=True, highlight=False)
