"""`genarm lineage`: from one end (a version, a commit, a data version, a run) to all others."""

import dataclasses
import re
from typing import Any

from genarm import registry
from genarm.data.dvc import data_version
from genarm.data.dvc_lock import FOLDER, POINTER
from genarm.errors import RegistryError
from genarm.operations.lineage_graph import Graph, Node
from genarm.operations.lineage_links import read_graph
from genarm.operations.unused_objects import cache_of
from genarm.pipeline.lineage import git
from genarm.pipeline.project import Project
from genarm.registry import tags
from genarm.registry.model_files import has_files
from genarm.registry.store import Store, translates_errors
from genarm.registry.versions import get

SHORTEST = 4  # hexadecimal digits that may stand for a hash
HASHES = ("run", "decision", "experiment", "flow run", "commit", "data")


@dataclasses.dataclass(frozen=True, slots=True)
class Lineage:
    """What is linked with `start`."""

    start: Node
    graph: Graph

    def plain(self) -> dict[str, Any]:
        """The same as plain data: nodes with their facts, links by ids, and what was lost."""
        nodes = [{"id": n.id, "kind": n.kind, "key": n.key, **n.facts} for n in self.graph.nodes.values()]
        links = [{"from": link.made, "how": link.how, "to": link.of} for link in self.graph.links]
        lost = [dataclasses.asdict(lost) for lost in self.graph.lost]
        return {"start": self.start.id, "nodes": nodes, "links": links, "lost": lost}


def lineage(project: Project, end: str) -> Lineage:
    """Everything that is linked with an end, both ways; what is linked and not there is in `lost`.

    `end` is a version (`positive/3`, `positive/champion`), `data`, the first digits of an adapter's hash, a
    commit, a data version or a run's id, a source, or a name that git knows. Raises RegistryError for one
    that nothing is known of, or that may be several.
    """
    store = registry.connect(project.root)
    whole = read_graph(store, project)
    start = _start(store, project, whole, end.strip())
    around = whole.around(start.id)
    _look(store, project, around)
    return Lineage(start, around)


@translates_errors
def _start(store: Store, project: Project, graph: Graph, end: str) -> Node:
    if version := re.fullmatch(r"(?:genarm-)?([\w-]+)[/@ ](\w+)", end):
        found = get(store, version[1], version[2])
        return graph.nodes[f"version {found.dimension} {found.number}"]
    if end in ("data", POINTER) and (md5 := data_version(project.root)):
        return graph.add(Node("data", md5))
    matching = [node for node in graph.nodes.values() if _is(node, end)]
    if len(matching) > 1:
        raise RegistryError(
            f"{end} may be {', or '.join(node.id for node in matching[:5])}", hint="give more of it"
        )
    if matching:
        return matching[0]
    commit = (
        git(project.root, "rev-parse", "--verify", "--quiet", f"{end}^{{commit}}") if end[:1] != "-" else ""
    )
    if commit:
        return graph.add(Node("commit", commit))
    raise RegistryError(
        f"nothing is known of {end!r}: no version, commit, data version or run of {store.address} or of "
        "this clone's git",
        hint="versions are written positive/3 (genarm registry list); hashes and ids by their first digits",
    )


def _is(node: Node, end: str) -> bool:
    """Whether a word means a node: a whole key, or the first digits of a hash."""
    if node.key == end:
        return True
    begins = len(end) >= SHORTEST and re.fullmatch(r"[0-9a-f-]+", end) is not None
    if node.kind == "version":
        return begins and node.facts.get("adapter", "").startswith(end)
    return begins and node.kind in HASHES and node.key.startswith(end)


@translates_errors
def _look(store: Store, project: Project, graph: Graph) -> None:
    """Note what the nodes stand for and is not there: files of versions, commits, data."""
    cache = cache_of(project.root)
    for node in list(graph.nodes.values()):
        if node.kind == "version":
            dimension, _, number = node.key.rpartition(" ")
            version = get(store, dimension, number)
            if not has_files(store, version):
                pruned = version.tags.get(tags.PRUNED)
                graph.lose(
                    node, "files", f"removed by genarm gc, {pruned}" if pruned else "gone from the registry"
                )
        elif node.kind == "commit":
            told = git(project.root, "log", "-1", "--format=%cs %s", node.key)
            if told:
                node.facts["what"] = told
            else:
                graph.lose(node, "commit", "this clone does not have it: git fetch --all")
        elif node.kind == "data" and cache is not None:
            places = [cache / "files" / "md5" / node.key[:2] / f"{node.key[2:]}{end}" for end in (FOLDER, "")]
            if not any(place.is_file() for place in places):
                graph.lose(node, "files", "not in DVC's cache here: dvc pull, if a remote has them")
