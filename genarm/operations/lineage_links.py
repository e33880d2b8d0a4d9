"""The links that the registry, git and `data.dvc` hold, read into one graph."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from genarm.operations.data_history import DataVersion, data_versions
from genarm.operations.lineage_graph import Graph, Node
from genarm.pipeline.project import Project
from genarm.registry import tags
from genarm.registry.everything import all_runs, all_versions, parents
from genarm.registry.store import Store, translates_errors
from genarm.registry.versions import Version, iso

if TYPE_CHECKING:
    from mlflow.entities import Run

FLOW_RUN, DIRTY = tags.tag("flow run"), tags.tag("git dirty")


@translates_errors
def read_graph(store: Store, project: Project) -> Graph:
    """Everything that is linked with anything. Nothing is changed."""
    graph = Graph()
    runs = {run.info.run_id: run for run in all_runs(store, tags.TRAIN_EXPERIMENT)}
    compared = {
        run.data.tags.get(tags.COMPARISON_SHA256): run for run in all_runs(store, tags.COMPARE_EXPERIMENT)
    }
    stored = all_versions(store)
    for version in stored:
        _version(graph, version, runs.get(version.run_id), stored, compared)
    owned = {version.run_id for version in stored}
    for run in runs.values():
        if run.info.run_id not in owned:
            node = graph.add(_run(run))
            _origin(graph, node, run.data.tags)
            graph.lose(node, "version", "it ended without one, or that was deleted")
    for run in all_runs(store, tags.DECISIONS_EXPERIMENT):
        _decision(graph, run, stored)
    known = data_versions(project.root)
    for md5 in {node.key for node in graph.of_kind("data")} | set(known):
        _data(graph, md5, known.get(md5))
    return graph


def version_node(version: Version) -> Node:
    """The node of a version."""
    facts = {
        "adapter": version.sha256,
        "aliases": ", ".join(version.aliases),
        "promotion": version.tags.get(tags.PROMOTION, ""),
        "blocked": version.tags.get(tags.BLOCKED, ""),
        "method": version.tags.get(tags.METHOD, ""),
        "made": version.created,
        "git dirty": version.tags.get(DIRTY, ""),
        "params": version.tags.get(tags.PARAMS_SHA256, ""),
    }
    return Node("version", f"{version.dimension} {version.number}", _said(facts))


def _version(
    graph: Graph,
    version: Version,
    run: "Run | None",
    stored: list[Version],
    compared: "Mapping[str | None, Run]",
) -> None:
    node, known = graph.add(version_node(version)), version.tags
    if run is not None:
        graph.link(node, "made in", _run(run))
    elif version.run_id:
        graph.lose(node, f"run {version.run_id}", "it was deleted, or collected by mlflow gc")
    else:
        graph.lose(node, "run", "none is noted")
    _origin(graph, node, known)
    if digest := known.get(tags.COMPARISON_SHA256):
        called = f"{known.get(tags.EXPERIMENT, '?')}, row {known.get(tags.ROW, '?')}"
        if found := compared.get(digest):
            of = Node("experiment", found.info.run_id, _said({"name": found.info.run_name or ""}))
            graph.link(node, f"measured as {called}", of)
        else:
            graph.lose(
                node, f"experiment {called}", "no run has these results: they were not recorded, or deleted"
            )
    for how, sha256 in parents(version, run).items():
        mother = next(
            (v for v in reversed(stored) if v.sha256 == sha256 and v.dimension == version.dimension), None
        )
        mother = mother or next((v for v in stored if v.sha256 == sha256), None)
        if mother:
            graph.link(node, how, version_node(mother))
        else:
            noted = known.get(tags.WARM_START, "") if how == "warm start" else ""
            graph.lose(
                node, f"{how}: {noted or 'adapter'} {sha256[:12]}".strip(), "no version holds this adapter"
            )


def _origin(graph: Graph, node: Node, known: Mapping[str, str]) -> None:
    """Links to commit, data and flow run, which tags name alike on versions and runs."""
    if commit := known.get(tags.GIT_COMMIT):
        graph.link(node, "at", Node("commit", commit))
    else:
        graph.lose(node, "commit", "none is noted: it was made outside of git, or before the first commit")
    if md5 := known.get(tags.DATA_MD5):
        graph.link(node, "trained on", Node("data", md5))
    else:
        graph.lose(node, "data", "no data version is noted: there was no data.dvc")
    if flow := known.get(FLOW_RUN):
        graph.link(node, "in", Node("flow run", flow))


def _run(run: "Run") -> Node:
    told = {"name": run.info.run_name or "", "status": run.info.status, "started": iso(run.info.start_time)}
    return Node("run", run.info.run_id, _said(told))


def _decision(graph: Graph, run: "Run", stored: list[Version]) -> None:
    known, dimension = run.data.tags, run.data.tags.get(tags.DIMENSION, "")
    facts = {
        "outcome": known.get(tags.OUTCOME, ""),
        "dimension": dimension,
        "by": known.get(tags.ACTOR, ""),
        "forced": known.get(tags.FORCED, ""),
        "report": known.get(tags.REPORT_SHA256, ""),
        "at": iso(run.info.start_time),
    }
    node = graph.add(Node("decision", run.info.run_id, _said(facts)))
    of = {str(v.number): v for v in stored if v.dimension == dimension}
    back = tags.ROLLED_BACK_TO in known
    about, other = known.get(tags.CHALLENGER_VERSION, ""), known.get(tags.CHAMPION_VERSION, "0")
    if back:
        about, other = other, known[tags.ROLLED_BACK_TO]
    sha256 = known.get(tags.CHALLENGER_SHA256, "")
    if not about and sha256:  # recorded before its adapter was registered, or outside this registry
        about = next((str(v.number) for v in of.values() if v.sha256 == sha256), "")
    for how, number, walked in (
        ("away from" if back else "on", about, True),
        ("to" if back else "against", other, False),
    ):
        if number in of:
            graph.link(node, how, version_node(of[number]), walked=walked)
        elif number not in ("", "0"):
            graph.lose(node, f"{how} version {dimension} {number}", "it was deleted")
        elif walked:
            graph.lose(node, f"version of adapter {sha256[:12]}", "no version holds this adapter")
    if flow := known.get(FLOW_RUN):
        graph.link(node, "in", Node("flow run", flow))


def _data(graph: Graph, md5: str, known: DataVersion | None) -> None:
    node = graph.add(Node("data", md5))
    if known is None:
        graph.lose(node, "sources", "no data.dvc of this clone, now or in any commit, names this version")
        return
    if known.commit:
        graph.link(node, "came with", Node("commit", known.commit))
    else:
        graph.lose(node, "commit", "its data.dvc is not committed")
    for source, facts in known.sources.items():
        graph.link(node, "made of", Node("source", source, _said(facts)))
    if not known.sources:
        graph.lose(node, "sources", "data.dvc names none: it was added by hand")


def _said(facts: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in facts.items() if value}
