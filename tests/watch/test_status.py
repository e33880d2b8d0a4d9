"""`genarm status` on a real project with git, DVC and MLflow: what it tells, and what it cannot ask."""

import dataclasses
import json
import subprocess
import sys

import pytest
from dvc_project import git
from house_toys import DIMENSION, arm, connect, decide, new_data, new_project, register
from prometheus_client.parser import text_string_to_metric_families

from genarm.cli import main as cli
from genarm.intake import held
from genarm.intake.held import Held
from genarm.models.arm import adapter_hash
from genarm.system import metric_names as names
from genarm.system.files import write_json
from genarm.types import Decision
from genarm.watch.status import status

MEASURED = {
    names.WIN_RATE: 0.7,
    names.WIN_RATE_LOWER: 0.61,
    names.WIN_RATE_UPPER: 0.78,
    names.WIN_RATE_N: 120,
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Version 1 in use after a rollback from version 2; version 3 on trial, to be promoted, and not."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("MLFLOW_TRACKING_URI", "PREFECT_API_URL"):
            patch.delenv(name, raising=False)
        root = tmp_path_factory.mktemp("status") / "here"
        root.mkdir()
        patch.setenv("PREFECT_HOME", str(root / ".prefect"))
        project = new_project(root)
        store = connect(project)
        new_data(project, "hello")
        arms = [arm(project, f"arm-{n}") for n in (1, 2, 3)]
        register(store, arms[0])
        first = Decision(DIMENSION, "promote", ["better"], adapter_hash(arms[0]), None)
        run = store.record_decision(first, actor="test", metrics=MEASURED)
        store.promote(DIMENSION, first, smoke_test=lambda place: None, actor="test")
        register(store, arms[1])
        decide(store, arms[1])
        store.rollback(DIMENSION, "too long", actor="operator")
        register(store, arms[2])
        champion = store.champions([DIMENSION])[DIMENSION]
        third = Decision(DIMENSION, "promote", ["better still"], adapter_hash(arms[2]), champion)
        store.record_decision(third, actor="test", metrics=MEASURED)
        store.snapshot(project.layout.champions, [DIMENSION])
        yield project, store, run


def test_what_is_in_use_since_when_and_why(made):
    project, store, _ = made
    found = status(project.root)
    assert not found.not_asked
    (one,) = found.champions
    back = [d for d in found.decisions if d.outcome == "rollback"]
    assert (one.version, one.adapter_sha256) == (1, store.version(DIMENSION, 1).sha256)
    assert one.how == "a rollback from version 2: too long" and "operator" in one.by
    assert (one.since, one.decision_run) == (back[0].at, back[0].run)
    assert (one.win_rate.value, one.win_rate.interval, one.win_rate.n) == (0.7, (0.61, 0.78), 120)
    assert one.against == 0
    assert (one.on_trial.version, one.on_trial.outcome, one.on_trial.against) == (3, "promote", 1)
    said = [d.what for d in found.decisions]
    assert said == [
        "promote version 3, against version 1: not carried out",
        "rollback from version 2 to version 1",
        "promote version 2, against version 1",
        "promote version 1, against the base model",
    ]
    assert [w.way_out for w in found.waiting] == [f"genarm registry promote {DIMENSION}"]
    assert found.data.version and found.data.committed and found.differences == []
    assert found.runs is None and not found.published.asked_for


def test_before_the_rollback_the_promotion_is_told(made):
    """The same overview, of an earlier moment: without the note of the rollback."""
    from genarm.registry.overview import _in_use
    from genarm.registry.versions import versions

    _, store, run = made
    rows = [v for v in versions(store, DIMENSION) if v.number != 2]
    one = _in_use(DIMENSION, rows)
    assert (one.how, one.decision_run, one.by[-6:]) == ("a promotion", run, "(test)")
    none = _in_use(DIMENSION, [dataclasses.replace(v, aliases=()) for v in rows])
    assert (none.version, none.how, none.since, none.on_trial) == (0, "", "", None)


def test_what_waits_and_what_differs(made, monkeypatch):
    project, _, _ = made
    layout, params = project.layout, project.layout.params.read_text()
    noted = layout.champions.read_text()
    write_json(layout.champions, {DIMENSION: None})
    version = status(project.root).data.version
    place = held.folder(project.root) / "held" / "held.json"
    for compared_with, way_out in ((version, "genarm data approve"), ("f" * 32, "genarm refresh")):
        write_json(place, Held("2026-11-26T02:00:00+00:00", compared_with, ("half is gone",), (), ()))
        found = status(project.root)
        ways = [(w.what, w.way_out) for w in found.waiting]
        assert any("half is gone" in what and way.startswith(way_out) for what, way in ways), ways
    assert any(way == "genarm registry reconcile" for _, way in ways)
    place.unlink()
    layout.champions.write_text(noted)
    write_json(layout.params, json.loads(params) | {"publish": {"git": "commit"}})
    found = status(project.root)
    assert found.published.not_committed == ["mlflow/champions.json"] and found.published.open
    assert any(w.way_out == "genarm publish" for w in found.waiting)
    git(project.root, "add", "mlflow/champions.json")
    git(project.root, "commit", "--quiet", "-m", "results")
    assert not status(project.root).published.open
    layout.params.write_text(params)


def test_what_cannot_be_asked_is_named_and_the_rest_is_told(made, monkeypatch):
    project, _, _ = made
    monkeypatch.setenv("PREFECT_API_URL", "http://me:hunter22@127.0.0.1:9/api")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    params = project.layout.params.read_text()
    project.layout.params.write_text(params.replace("nowhere", 'nowhere", "modle": "x'))
    try:
        found = status(project.root)
    finally:
        project.layout.params.write_text(params)
    assert {one.part for one in found.not_asked} == {"parameters", "runs", "registry"}
    assert "hunter22" not in repr(found) and found.data.version and not found.is_unknown
    assert found.champions is None


def test_text_json_and_metrics_of_the_command(made, monkeypatch, capsys, tmp_path):
    project, _, _ = made
    monkeypatch.chdir(project.root)
    cli.app(["status"], standalone_mode=False)
    text = capsys.readouterr().out
    assert "kind: version 1" in text and "win rate 0.70 [0.61, 0.78] n=120 over the base model" in text
    assert "no Prefect server is named" in text and "on trial: version 3" in text
    cli.app(["status", "--json"], standalone_mode=False)
    told = json.loads(capsys.readouterr().out)
    assert told["champions"][0]["version"] == 1 and told["not_asked"] == []
    file = tmp_path / "folder" / "genarm.prom"
    cli.app(["status", "--metrics", str(file)], standalone_mode=False)
    assert capsys.readouterr().out == "" and [p.name for p in file.parent.iterdir()] == [file.name]
    samples = {
        (s.name, s.labels.get("dimension") or s.labels.get("part")): s.value
        for family in text_string_to_metric_families(file.read_text())
        for s in family.samples
    }
    assert samples["genarm_champion_version", DIMENSION] == 1
    assert samples["genarm_challenger_version", DIMENSION] == 3
    assert samples["genarm_champion_win_rate_ratio", DIMENSION] == 0.7
    assert samples["genarm_waiting", None] == 1 and samples["genarm_status_unread", "runs"] == 0
    assert samples["genarm_data_held", None] == 0
    assert "# TYPE genarm_champion_version gauge" in file.read_text()
    with pytest.raises(Exception, match=r"does not end in \.prom"):
        cli.app(["status", "--metrics", str(tmp_path / "genarm.txt")], standalone_mode=False)


def test_an_empty_project_has_a_status_and_gets_no_store(tmp_path, monkeypatch):
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "home"))
    root = tmp_path / "project"
    root.mkdir()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{root}/mlflow/mlflow.db")
    new_project(root)
    found = status(root)
    assert [one.version for one in found.champions] == [0] and not found.not_asked
    assert found.data.version == "" and not (root / "mlflow").exists()


@pytest.mark.slow
def test_it_starts_without_torch_prefect_and_dvc(made):
    program = (
        "import sys; from genarm.cli import main as cli\n"
        "cli.app(['status', '--json'], standalone_mode=False)\n"
        "print([m for m in ('torch', 'prefect', 'transformers', 'dvc') if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=made[0].root, capture_output=True, text=True, check=True
    )
    assert done.stderr.splitlines()[-1] == "[]", done.stderr
    assert json.loads(done.stdout)["folder"] == str(made[0].root)
