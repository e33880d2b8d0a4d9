"""`genarm gc` on real git, DVC and MLflow: what goes, what never does, and what a kill in between leaves."""

import os
import shutil
from pathlib import Path

import pytest
from dvc_project import dvc, git
from house_toys import (
    DIMENSION,
    LATER,
    age,
    arm,
    connect,
    decide,
    new_data,
    new_project,
    register,
    standing,
)
from registry_server import mlflow_server
from registry_toys import Killed

from genarm.errors import Busy, ConfigError, RegistryError
from genarm.models.arm import adapter_hash
from genarm.operations import old_caches
from genarm.operations.gc import collect
from genarm.operations.unused_objects import cache_of, dvc_alone, name_of
from genarm.pipeline.alone import alone
from genarm.pipeline.project import Project
from genarm.registry import pruning
from genarm.registry.needed import Rules
from genarm.system.files import write_json
from genarm.types import Champion

RULES = Rules(newest=1, days=30)


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("GENARM_CACHE", str(tmp_path / "user-cache"))
    (tmp_path / "here").mkdir()
    return new_project(tmp_path / "here")


@pytest.fixture
def old(project):
    """Versions 1 to 6: never decided, held, once champion, previous, champion, on trial; and their data."""
    store, outcomes = connect(project), ["", "hold", "promote", "promote", "promote", ""]
    data = []
    for number, outcome in enumerate(outcomes, 1):
        if number <= 3:
            data.append(new_data(project, f"number {number}"))
        folder = arm(project, f"arm-{number}")
        assert register(store, folder) == number
        if outcome:
            decide(store, folder, outcome)
    assert standing(store) == {"previous": 4, "champion": 5, "challenger": 6}
    store.client.create_run(store.experiment("genarm/train"), run_name="cut short")
    return store, data


def by_kind(found, kind):
    return {item.name.split(" (")[0]: item.why for item in found.items if item.kind == kind}


@pytest.mark.slow
def test_what_goes_is_told_and_then_removed_and_the_rest_is_as_before(project, old, monkeypatch, tmp_path):
    store, data = old
    git(
        project.root, "checkout", "--quiet", "--orphan", "fresh"
    )  # no branch leads to the old commits any more
    git(project.root, "commit", "--quiet", "-m", "all anew")
    for branch in git(project.root, "branch", "--format=%(refname:short)").split():
        if branch != "fresh":
            git(project.root, "branch", "--quiet", "-D", branch)
    age(project.root / ".dvc" / "cache", -80)  # made ten days before LATER: young
    young = collect(project, RULES, only=["dvc"], now=LATER)
    assert not young.items

    age(project.root / ".dvc" / "cache", 0)
    dry = collect(project, RULES, now=LATER)
    assert by_kind(dry, "versions") == {
        f"{DIMENSION} 1": "older than 30 days and the newest 1",
        f"{DIMENSION} 2": "its files alone, its record is named in the log of decisions",
    }
    assert by_kind(dry, "runs") == {"cut short": "no version, and older than 30 days"}
    cache = cache_of(project.root)
    gone = {name_of(cache / item.name) for item in dry.items if item.kind == "dvc"}
    assert {f"{md5}.dir" for md5 in data[:2]} <= gone and not {f"{md5}.dir" for md5 in data[2:]} & gone
    assert len(gone) == 4  # two folders, each of one file
    assert [row["version"] for row in store.list([DIMENSION])] == [6, 5, 4, 3, 2, 1]  # nothing was done

    done = collect(project, RULES, yes=True, now=LATER)
    assert done.items == dry.items and done.removed
    assert [(t.kind, t.before, t.after) for t in done.totals] == [
        (t.kind, t.before, t.after) for t in dry.totals
    ]
    assert not collect(project, RULES, now=LATER).items
    assert [row["version"] for row in store.list([DIMENSION])] == [6, 5, 4, 3, 2]
    assert not [name for name in gone if (cache / "files" / "md5" / name[:2] / name[2:]).exists()]

    for number in (3, 4, 5, 6):  # whole: they load, with the hash that they had
        store.fetch(
            DIMENSION, store.version(DIMENSION, number).champion(), tmp_path / "fetched" / str(number)
        )
    for md5 in data[2:]:
        dvc(project.root, "checkout", "--quiet")
        assert (cache / "files" / "md5" / md5[:2] / f"{md5[2:]}.dir").is_file()
    with pytest.raises(RegistryError, match="genarm gc removed the files of version 2"):
        store.rollback(DIMENSION, "back", to=2)
    shown = store.show(DIMENSION, 2)  # the record is whole: decision, run, metrics
    assert shown["decision"]["outcome"] == "hold" and shown["metrics"] and shown["trail"]
    assert not store.inspect([DIMENSION])
    store.rollback(DIMENSION, "worse")
    assert standing(store)["champion"] == 4
    register(store, tmp_path / "arms" / "arm-2")  # trained again: it is whole again, as the same version
    store.fetch(DIMENSION, store.version(DIMENSION, 2).champion(), tmp_path / "fetched" / "2")
    assert "genarm.pruned" not in store.version(DIMENSION, 2).tags


@pytest.mark.slow
def test_killed_between_any_two_removals_it_is_repeated_and_ends_alike(project, old, monkeypatch):
    store, _ = old
    for last in range(50):
        steps = iter(range(last))

        def step(function, steps=steps):
            def stepping(*args, **kwargs):
                if next(steps, None) is None:
                    raise Killed
                return function(*args, **kwargs)

            return stepping

        with monkeypatch.context() as patch:
            for place, name in ((pruning, "remove_files"), (pruning, "_delete_run"), (old_caches, "remove")):
                patch.setattr(place, name, step(getattr(place, name)))
            for name in ("delete_logged_model", "delete_model_version", "set_model_version_tag"):
                patch.setattr(type(store.client), name, step(getattr(type(store.client), name)))
            try:
                collect(project, RULES, yes=True, now=LATER)
            except Killed:
                continue
        break
    else:
        pytest.fail("it never got through")
    assert last >= 4, "the kills were not felt"
    assert not collect(project, RULES, now=LATER).items
    assert [row["version"] for row in store.list([DIMENSION])] == [6, 5, 4, 3, 2]
    assert standing(store) == {"previous": 4, "champion": 5, "challenger": 6}


@pytest.mark.slow
def test_what_a_change_under_way_or_a_training_needs_stays(project, old):
    store, _ = old
    store.client.set_model_version_tag("genarm-kind", "6", "genarm.promotion", "pending")
    store.client.set_model_version_tag("genarm-kind", "6", "genarm.promotion_previous", "1")
    write_json(project.root / "mlflow" / "starts.json", {DIMENSION: store.version(DIMENSION, 2).champion()})
    assert not by_kind(collect(project, RULES, now=LATER), "versions")


def test_files_by_age_and_use(project):
    layout, user = project.layout, Path(os.environ["GENARM_CACHE"])
    data = collect(project, RULES, only=["held"]).items
    assert not data
    write_json(project.root / ".cache" / "intake" / "seen.json", {})
    for name, days in (("old", 40), ("young", 1)):
        write_json(layout.kept / f"{name}.jsonl", {})
        write_json(user / "tokens" / name / "complete.json", {})
        write_json(layout.responses("challenger", f"{name}-dimension"), {})
        for path in (layout.kept / f"{name}.jsonl", user / "tokens" / name):
            age(path, days)
        age(layout.responses("challenger", f"{name}-dimension"), days)
    write_json(user / "tokens" / "used" / "complete.json", {})
    age(user / "tokens" / "used", 40)
    (user / "tokens" / "used.lock").touch()  # asked for today
    write_json(layout.responses("challenger", DIMENSION), {})
    age(layout.responses("challenger", DIMENSION), 40)
    write_json(project.root / ".cache" / "intake" / "held.new" / "data" / "a.jsonl", {})
    held = {"since": "", "version": "another", "reasons": [], "changes": [], "records": []}
    write_json(project.root / ".cache" / "intake" / "held" / "held.json", held)
    write_json(layout.judge_replies.parent / "replies", {})
    age(layout.judge_replies.parent, 400)

    done = collect(project, RULES, only=["responses", "caches", "held"], yes=True)
    assert {Path(item.name).name for item in done.items} == {
        "old.jsonl", "old", "old-dimension.jsonl", "held", "held.new",
    }  # fmt: skip
    assert (layout.kept / "young.jsonl").exists() and (user / "tokens" / "young").exists()
    assert (user / "tokens" / "used").exists() and layout.responses("challenger", DIMENSION).exists()
    assert (layout.judge_replies.parent / "replies").exists()
    assert not collect(project, RULES, only=["responses", "caches", "held"]).items


def test_a_champion_fetched_for_the_nights_stays_and_an_earlier_one_goes(project):
    new_data(project, "one")
    watched = project.root / ".cache" / "watch"
    for name, seed in ((DIMENSION, "in-use"), ("gone", "gone"), ("young", "young")):
        shutil.copytree(arm(project, seed), watched / name)
        age(watched / name, 1 if name == "young" else 40)
    sha256 = adapter_hash(watched / DIMENSION)
    write_json(project.layout.champions, {DIMENSION: Champion(1, "m", sha256, 0.5)})
    done = collect(project, RULES, only=["caches"], yes=True)
    assert [Path(item.name).name for item in done.items] == ["gone"]
    write_json(project.layout.champions, {DIMENSION: Champion(2, "m", "0" * 64, 0.5)})
    assert [Path(i.name).name for i in collect(Project(project.root), RULES, only=["caches"]).items] == [
        DIMENSION
    ]


def test_held_data_that_can_be_approved_waits_on(project):
    version = new_data(project, "one")
    held = {"since": "", "version": version, "reasons": [], "changes": [], "records": []}
    write_json(project.root / ".cache" / "intake" / "held" / "held.json", held)
    assert not collect(project, RULES, only=["held"], now=LATER).items


def test_it_keeps_off_runs_and_dvc_and_refuses_rules_that_keep_nothing(project):
    new_data(project, "one")
    with alone(project), pytest.raises(Busy, match=f"process {os.getpid()}"):
        collect(project, RULES, yes=True)
    collect(project, RULES)  # a look is no matter
    write_json(
        project.root / ".dvc" / "tmp" / "rwlock", {"write": {"x": {"pid": os.getpid(), "cmd": "dvc repro"}}}
    )
    with pytest.raises(Busy, match="dvc repro"), dvc_alone(project.root):
        pass
    with pytest.raises(ConfigError, match="--days is 0"):
        collect(project, Rules(1, 0))
    with pytest.raises(ConfigError, match="versions, runs"):
        collect(project, RULES, only=["everything"])


def test_a_cache_outside_the_project_is_left_alone_and_told(project, tmp_path):
    dvc(project.root, "cache", "dir", str(tmp_path / "shared"))
    assert "may be shared" in collect(project, RULES, only=["dvc"], now=LATER).notes[0]


@pytest.mark.slow
def test_behind_a_server_the_files_go_too(project, tmp_path, monkeypatch):
    (tmp_path / "server").mkdir()
    with mlflow_server(tmp_path / "server") as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        store = connect(project)
        git(project.root, "commit", "--quiet", "--allow-empty", "-m", "first")
        for number, outcome in enumerate(("", "hold", "promote"), 1):
            folder = arm(project, f"arm-{number}")
            register(store, folder)
            if outcome:
                decide(store, folder, outcome)
        stored = tmp_path / "server" / "files"
        assert len(list(stored.rglob("*.safetensors"))) == 3
        done = collect(project, RULES, only=["versions"], yes=True, now=LATER)
        assert [item.name for item in done.items] == [f"{DIMENSION} 2", f"{DIMENSION} 1"]
        assert [row["version"] for row in store.list([DIMENSION])] == [3, 2]
        assert len(list(stored.rglob("*.safetensors"))) == 1
        assert not collect(project, RULES, only=["versions"], now=LATER).items
