"""What was made of what, as a graph: versions, decisions, runs, commits, data, sources, and flow runs.

A link goes from what was made to what it was made of. A link whose other end is gone is kept as `Lost`.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["version", "decision", "run", "experiment", "flow run", "commit", "data", "source"]


@dataclass(frozen=True, slots=True)
class Node:
    """One end of links; `key` identifies it within its kind, such as a hash, or `positive 3`."""

    kind: Kind
    key: str
    facts: dict[str, str] = field(default_factory=dict, compare=False)

    @property
    def id(self) -> str:
        """How links name it."""
        return f"{self.kind} {self.key}"


@dataclass(frozen=True, slots=True)
class Link:
    """`made` stands in the relation `how` to `of`; one that is not `walked` leads no further."""

    made: str
    how: str
    of: str
    walked: bool = True


@dataclass(frozen=True, slots=True)
class Lost:
    """What `of` names or needs and is not there, and why, as far as that is known."""

    of: str
    what: str
    why: str


@dataclass(slots=True)
class Graph:
    """Nodes by id, the links between them, and those that lead nowhere."""

    nodes: dict[str, Node] = field(default_factory=dict)
    links: dict[Link, None] = field(default_factory=dict)
    lost: dict[Lost, None] = field(default_factory=dict)

    def add(self, node: Node) -> Node:
        """Put a node in, unless it is there; the one that is there."""
        return self.nodes.setdefault(node.id, node)

    def link(self, made: Node, how: str, of: Node, *, walked: bool = True) -> None:
        """Link two nodes, which are put in."""
        self.links[Link(self.add(made).id, how, self.add(of).id, walked)] = None

    def lose(self, of: Node, what: str, why: str) -> None:
        """Note a link that leads nowhere."""
        self.lost[Lost(of.id, what, why)] = None

    def around(self, start: str) -> "Graph":
        """All that a node was made of and that was made of it, with what that in turn was made of.

        A decision or a run is looked at from the version that it is of, so that it leads to all of its links.
        """
        of_version = {
            link.of if link.made == start else link.made
            for link in self.links
            if link.walked and start in (link.made, link.of) and self.nodes[start].kind in ("decision", "run")
        }
        begin = {start, *(id for id in of_version if self.nodes[id].kind == "version")}
        ids = self._closure(self._closure(begin, down=True), down=False)
        links = {
            link: None for link in self.links if link.made in ids and (link.of in ids or not link.walked)
        }
        leaves = {link.of for link in links if not link.walked}
        return Graph(
            {id: node for id, node in self.nodes.items() if id in ids | leaves},
            links,
            {lost: None for lost in self.lost if lost.of in ids},
        )

    def _closure(self, begin: Iterable[str], *, down: bool) -> set[str]:
        found, waiting = set[str](), list(begin)
        steps = dict[str, list[str]]()
        for link in self.links:
            if link.walked:
                here, there = (link.of, link.made) if down else (link.made, link.of)
                steps.setdefault(here, []).append(there)
        while waiting:
            if (id := waiting.pop()) not in found:
                found.add(id)
                waiting += steps.get(id, [])
        return found

    def of_kind(self, kind: Kind) -> Iterator[Node]:
        """The nodes of a kind."""
        return (node for node in self.nodes.values() if node.kind == kind)
