"""`genarm feedback`: what people prefer, as figures and as pairs, and the erasure of a user."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from genarm.cli.console import Json, err, out, project, show

if TYPE_CHECKING:
    from genarm.feedback.store import Store
    from genarm.pipeline.project import Project

app = typer.Typer(no_args_is_help=True, help="What people prefer: how the votes stand, pairs, erasure.")


@app.command()
def status(as_json: Json = False) -> None:
    """Say how the votes stand, by dimension: the share that guided responses win, with its interval."""
    from genarm.feedback.summary import standing

    with _store() as (here, store):
        found = standing(store, list(here.params.dimensions))
    if as_json:
        show(found, True)
        return
    for one in found:
        share = "no vote that is no tie"
        if one.guided_share is not None:
            share = (
                f"{one.guided_share:.2f} [{one.low:.2f}, {one.high:.2f}] prefer the guided response "
                f"(n = {one.votes - one.ties - one.on_trial})"
            )
        trial = f", {one.on_trial} on a version on trial" if one.on_trial else ""
        line = (
            f"{one.dimension}: {share}; {one.votes} votes of {one.users} users{trial}, {one.ties} ties, "
            f"{one.consent} with consent, {one.open} open; the most of one user: {one.top_user_share:.0%}"
        )
        out.print(line, soft_wrap=True, highlight=False)


@app.command()
def export(
    dimension: Annotated[str, typer.Option(help="a preference dimension of params.yaml")],
    to: Annotated[Path | None, typer.Option(help="the JSON Lines file; by default named as in data/")] = None,
    as_json: Json = False,
) -> None:
    """Write the votes on a dimension as preference pairs, and say what was left out and why."""
    from genarm.config.feedback import feedback_file
    from genarm.feedback.export import export as write

    with _store() as (here, store):
        path = to or Path(feedback_file(here.params.known(dimension)))
        done = write(store, dimension, path)
    if as_json:
        show(done, True)
        return
    out.print(f"{path}: {done.told}", soft_wrap=True, highlight=False)


@app.command()
def erase(
    user: Annotated[str, typer.Argument(help="the user id, as clients send it")], as_json: Json = False
) -> None:
    """Delete all that is kept of a user; the next data version has it no more."""
    with _store() as (_, store):
        count = store.erase(user)
    if as_json:
        show({"deleted": count}, True)
        return
    out.print(f"deleted: {count}; the next data version has none of it: genarm refresh", highlight=False)
    if not count:
        err.print("nothing was kept of such a user", highlight=False)


@contextmanager
def _store() -> Iterator[tuple["Project", "Store"]]:
    here = project()
    from genarm.feedback.store import Store

    store = Store(here.params.feedback, here.root)
    try:
        yield here, store
    finally:
        store.close()
