"""`genarm lineage`: what was made of what."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from genarm.cli.console import Json, out, project, show

if TYPE_CHECKING:
    from genarm.operations.lineage import Lineage
    from genarm.operations.lineage_graph import Node

DIGITS = 12


def lineage(
    end: Annotated[
        str,
        typer.Argument(
            help="a version such as positive/3 or positive/champion, `data`, a source, or the first digits "
            "of a commit, a data version, an adapter or a run"
        ),
    ],
    as_json: Json = False,
) -> None:
    """Walk from a version, commit, data version or run to all that it was made of and that was made of it."""
    from genarm.operations.lineage import lineage as walk

    found = walk(project(), end)
    if as_json:
        show(found.plain(), True)
        return
    for line in _lines(found):
        out.print(line, soft_wrap=True)


def _lines(found: "Lineage") -> Iterator[str]:
    graph = found.graph
    order = [found.start, *(node for node in graph.nodes.values() if node != found.start)]
    for node in order:
        links = [link for link in graph.links if link.made == node.id]
        lost = [lost for lost in graph.lost if lost.of == node.id]
        if not links and not lost and node != found.start:
            continue  # it is told where a link leads to it
        yield _title(node)
        for link in links:
            yield f"  {link.how} {_title(graph.nodes[link.of])}"
        for gone in lost:
            yield f"  lost: {gone.what}: {gone.why}"


def _title(node: "Node") -> str:
    facts = node.facts
    key = node.key if node.kind in ("version", "source", "flow run") else node.key[:DIGITS]
    parts = [facts.get(name, "") for name in ("aliases", "method", "name", "status", "outcome", "what")]
    if node.kind == "decision":
        parts += [facts.get("dimension", ""), facts.get("at", "")[:10], facts.get("by", "")]
    if node.kind == "version":
        parts += [
            facts["adapter"][:DIGITS] if "adapter" in facts else "",
            f"blocked: {facts['blocked']}" if "blocked" in facts else "",
        ]
        parts += ["with files that differ from the commit"] if facts.get("git dirty") == "true" else []
    said = ", ".join(part for part in parts if part)
    return f"{node.kind} {key}" + (f" ({said})" if said else "")
