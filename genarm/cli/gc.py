"""`genarm gc`: what is old and needed by nobody."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from genarm.cli.console import Json, err, out, project, show
from genarm.system.counted import byte_size

if TYPE_CHECKING:
    from genarm.operations.gc import Collected

SHOWN = 20  # of a kind; --json has all


def gc(
    versions: Annotated[int, typer.Option(help="the newest versions of each dimension that stay whole")] = 10,
    days: Annotated[int, typer.Option(help="what was made or used within so many days stays")] = 30,
    only: Annotated[
        list[str] | None, typer.Option(help="one kind: versions, runs, responses, dvc, caches, held")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="remove it; without it, nothing is changed")] = False,
    as_json: Json = False,
) -> None:
    """Tell what is old and needed by nobody, with its size; remove it with --yes."""
    from genarm.operations.gc import Rules, collect

    done = collect(project(), Rules(versions, days), only=only or (), yes=yes)
    if as_json:
        show(done, True)
        return
    for line in _items(done):
        out.print(line, soft_wrap=True)
    before, after = (sum(getattr(total, of) for total in done.totals) for of in ("before", "after"))
    rows = [
        {"kind": t.kind, "items": t.items, "before": byte_size(t.before), "after": byte_size(t.after)}
        for t in done.totals
    ]
    count = sum(total.items for total in done.totals)
    show(
        [*rows, {"kind": "all", "items": count, "before": byte_size(before), "after": byte_size(after)}],
        False,
    )
    for note in done.notes:
        err.print(f"[yellow]note[/]: {note}", soft_wrap=True)
    if count and not yes:
        err.print("nothing was removed: genarm gc --yes does it", soft_wrap=True)


def _items(done: "Collected") -> Iterator[str]:
    """A line for each thing, the first of each kind."""
    for total in done.totals:
        of_kind = [item for item in done.items if item.kind == total.kind]
        for item in of_kind[:SHOWN]:
            yield f"{item.kind}: {item.name}, {byte_size(item.bytes)}: {item.why}"
        if len(of_kind) > SHOWN:
            yield f"{total.kind}: and {len(of_kind) - SHOWN} more (--json has all)"
