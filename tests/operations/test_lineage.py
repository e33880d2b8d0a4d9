"""`genarm lineage` on real git, DVC and MLflow: from every end to all others; what is lost is named."""

import json
import shutil

import pytest
from dvc_project import git
from house_toys import DIMENSION, arm, champion, connect, decide, new_data, new_project, register

from genarm.cli import main as cli
from genarm.errors import RegistryError
from genarm.operations.lineage import lineage
from genarm.operations.lineage_graph import Graph, Node


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Version 1, promoted; other data; version 2, which starts from it, promoted, then rolled back."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        root = tmp_path_factory.mktemp("lineage") / "here"
        root.mkdir()
        project = new_project(root)
        store, ends = connect(project), {}
        for number in (1, 2):
            ends[f"data {number}"] = new_data(project, f"number {number}")
            ends[f"commit {number}"] = git(root, "rev-parse", "HEAD")
            folder = arm(project, f"arm-{number}", champion(store) if number == 2 else None)
            register(store, folder)
            ends[f"decision {number}"] = decide(store, folder)
            ends[f"run {number}"] = store.version(DIMENSION, number).run_id
        store.rollback(DIMENSION, "worse", actor="operator")
        yield project, store, ends


def told(project, end):
    found = lineage(project, end).plain()
    return {node["id"] for node in found["nodes"]}, {(x["of"], x["what"]) for x in found["lost"]}, found


def test_every_end_leads_to_all_others(made):
    project, _, ends = made
    all_of_2 = {f"{kind} {ends[f'{kind} {n}']}" for kind in ("data", "commit", "run") for n in (1, 2)}
    all_of_2 |= {f"version {DIMENSION} 1", f"version {DIMENSION} 2", f"decision {ends['decision 2']}"}
    by_hand = "sources"
    for end in (
        f"{DIMENSION}/2",
        ends["commit 2"][:10],
        ends["data 2"][:8],
        ends["run 2"],
        ends["decision 2"],
    ):
        ids, lost, found = told(project, end)
        assert all_of_2 <= ids, end
        assert {what for _, what in lost} == {by_hand}, found["lost"]
    links = {(link["from"], link["how"], link["to"]) for link in found["links"]}
    assert (f"version {DIMENSION} 2", "warm start", f"version {DIMENSION} 1") in links
    assert (f"decision {ends['decision 2']}", "against", f"version {DIMENSION} 1") in links
    assert (f"data {ends['data 2']}", "came with", f"commit {ends['commit 2']}") in links
    from_data_1 = told(project, ends["data 1"])[0]  # what came of it: both versions
    assert from_data_1 >= {
        f"version {DIMENSION} 1",
        f"version {DIMENSION} 2",
        f"decision {ends['decision 1']}",
    }
    assert told(project, "data")[2]["start"] == f"data {ends['data 2']}"
    assert told(project, "HEAD")[2]["start"] == f"commit {ends['commit 2']}"
    assert told(project, "f-1")[0] >= {f"version {DIMENSION} 1", f"run {ends['run 2']}"}


def test_a_source_leads_to_its_versions_and_back(made):
    project, _, ends = made
    pointer = project.root / "data.dvc"
    before = pointer.read_text()
    row = "{source: 'https://example.org/a', folder: k, mark: m1, files: [a]}"
    pointer.write_text(f"{before}meta:\n  genarm:\n    sources:\n    - {row}\n")
    try:
        ids, lost, _ = told(project, "https://example.org/a")
        assert f"version {DIMENSION} 2" in ids and f"decision {ends['decision 2']}" in ids
        assert (f"data {ends['data 2']}", "sources") not in lost
        assert "source https://example.org/a" in told(project, f"{DIMENSION}/2")[0]
    finally:
        pointer.write_text(before)


def test_text_and_json_of_the_command(made, monkeypatch, capsys):
    project, _, _ = made
    monkeypatch.chdir(project.root)
    cli.app(["lineage", f"{DIMENSION}/2"], standalone_mode=False)
    text = capsys.readouterr().out
    assert "warm start version kind 1" in text and "blocked: worse" in text
    cli.app(["lineage", f"{DIMENSION}/2", "--json"], standalone_mode=False)
    assert json.loads(capsys.readouterr().out)["start"] == f"version {DIMENSION} 2"


def test_what_is_unknown_or_may_be_several_is_refused(made):
    project, _, _ = made
    with pytest.raises(RegistryError, match="nothing is known of 'abcdef99'"):
        lineage(project, "abcdef99")
    with pytest.raises(RegistryError, match="no version '9'"):
        lineage(project, f"{DIMENSION}/9")


def test_lost_links_are_named(made):  # last: it damages what the others look at
    project, store, ends = made
    client = store.client
    client.delete_registered_model_alias("genarm-kind", "champion")
    client.delete_model_version("genarm-kind", "1")
    client.delete_run(ends["run 2"])
    shutil.rmtree(project.root / "mlflow" / "store")
    shutil.rmtree(project.root / ".dvc" / "cache")
    client.set_model_version_tag("genarm-kind", "2", "genarm.git_commit", "d" * 40)
    _, lost, found = told(project, f"{DIMENSION}/2")
    of_2, data_2 = f"version {DIMENSION} 2", f"data {ends['data 2']}"
    first = found["lost"]
    parent = next(x for x in first if x["what"].startswith("warm start: version 1 "))
    assert parent["of"] == of_2 and parent["why"] == "no version holds this adapter"
    assert {(of_2, f"run {ends['run 2']}"), (of_2, "files"), (data_2, "files")} <= lost
    assert (f"commit {'d' * 40}", "commit") in lost
    assert (f"decision {ends['decision 2']}", f"against version {DIMENSION} 1") in lost


def test_a_champion_that_was_measured_against_leads_no_further():
    """Else every version would lead to every other: 1 <- decision on 2 -> 2 <- decision on 3 -> 3."""
    graph = Graph()
    v = {n: Node("version", f"k {n}") for n in (1, 2, 3)}
    for n in (2, 3):
        decision = Node("decision", f"{n}")
        graph.link(decision, "on", v[n])
        graph.link(decision, "against", v[n - 1], walked=False)
    assert set(graph.around("version k 2").nodes) == {"version k 2", "decision 2", "version k 1"}
    assert set(graph.around("decision 3").nodes) == {"decision 3", "version k 3", "version k 2"}
