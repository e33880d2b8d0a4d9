"""The commands that run a flow: first what it needs is checked, last what came out is printed."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from genarm.cli.console import Json, err, flow_root, out, project, run_root, show
from genarm.errors import PipelineError
from genarm.system.verbosity import Verbosity, verbosity

AGAIN = "do what the line says, then: genarm publish"


def run(
    promote: Annotated[bool, typer.Option(help="carry the decision out, or only report it")] = True,
    as_json: Json = False,
) -> None:
    """The whole pipeline, once: preference data in, promotion decision out."""
    began, folder = time.monotonic(), run_root()
    dimensions = project().params.dimensions
    from genarm.flows import temporary_server

    temporary_server.start()
    from genarm.flows import run_console
    from genarm.flows.align import align
    from genarm.pipeline.stage_names import RESPOND_OF, stage_of
    from genarm.report.closing import closing_block, decisions_table

    run_console.install(max(len(stage_of(RESPOND_OF["champion"], d)) for d in dimensions))
    with interrupt_stays_one():
        decisions = align(root=str(folder), promote=promote)
    table, last = decisions_table(decisions), closing_block(folder, time.monotonic() - began)
    if as_json:
        err.print(table)
        show(decisions, as_json)
    else:
        out.print()
        show(table, as_json)
    if verbosity() is not Verbosity.QUIET:
        (err if as_json else out).print(f"\n{last}", soft_wrap=True, highlight=False)
    if promote and project().params.publish.is_asked_for:
        require_published(folder)


def data(
    source: Annotated[str, typer.Argument(help="path, glob, URL, or hf://owner/name@revision")],
    as_json: Json = False,
) -> None:
    """Make a source the version of the preference data."""
    folder = flow_root()
    from genarm.flows import secret_source, temporary_server

    shown = secret_source.keep_in_memory(source)  # Prefect stores what a flow is called with
    temporary_server.start()
    from genarm.flows import run_console
    from genarm.flows.version_data import counts, version_data

    run_console.install()
    with interrupt_stays_one():
        version = version_data(shown, root=str(folder))
    if as_json:
        show(version, as_json)
        return
    show(version.files, as_json)
    out.print()
    show([counts(d, stats) for d, stats in version.dimensions.items()], as_json)
    last = f"data version {version.version}; to keep it: git add data.dvc && dvc push"
    out.print(f"\n{last}", highlight=False, soft_wrap=True)


def require_published(folder: Path) -> None:
    """Raise PipelineError where a run has just decided, and could not publish everything."""
    from genarm.pipeline.publish.record import last

    if left := last(folder).left:
        raise PipelineError(f"the decision stands, but not all is published: {' / '.join(left)}", hint=AGAIN)


@contextmanager
def interrupt_stays_one() -> Iterator[None]:
    """Raise KeyboardInterrupt for the error that Prefect makes of one.

    On a terminal Ctrl-C reaches every process there, also a server that somebody started from it. Where
    Prefect finds none to note the end of the run, the next run marks this one as crashed.
    """
    try:
        yield
    except Exception as error:
        earlier = error.__context__
        while earlier is not None:
            if isinstance(earlier, KeyboardInterrupt):
                raise KeyboardInterrupt from None
            earlier = earlier.__context__
        raise
