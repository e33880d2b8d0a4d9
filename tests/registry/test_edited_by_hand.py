"""A registry that others touch, in MLflow's pages or with its tools: mended, or told with a way out."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from registry_toys import (
    DIMENSION,
    BringChampions,
    Killed,
    MakeArm,
    Project,
    decision,
    dying,
    promote,
    register,
    state,
)

from genarm.errors import RegistryError
from genarm.models.arm import adapter_hash
from genarm.registry import Registry, tags

NAME = "genarm-positive"
Edit = Callable[[Registry], Any]


def tagged(version: int, tag: str, value: str | None) -> Edit:
    """Sets a tag of a version by hand, or deletes it."""

    def edit(store: Registry) -> None:
        if value is None:
            store.client.delete_model_version_tag(NAME, str(version), tag)
        else:
            store.client.set_model_version_tag(NAME, str(version), tag, value)

    return edit


def aliased(alias: str, version: int) -> Edit:
    return lambda store: store.client.set_registered_model_alias(NAME, alias, str(version))


def used_throughout(store: Registry, make_arm: MakeArm, folder: Path) -> None:
    """Everything that a night of `genarm run` asks of the registry, and a person the morning after."""
    store.reconcile([DIMENSION])
    champion = store.snapshot(folder / "champions.json", [DIMENSION])[DIMENSION]
    assert champion and store.fetch(DIMENSION, champion, folder / "champion")
    store.list([DIMENSION])
    store.show(DIMENSION)
    register(store, make_arm(5))
    verdict = decision(store, make_arm(5))
    store.record_decision(verdict)
    number = promote(store, make_arm(5), decision=verdict)
    assert store.show(DIMENSION)["version"] == number
    assert store.rollback(DIMENSION, "worse") == champion.version
    assert store.reconcile([DIMENSION]) == [] and store.inspect([DIMENSION]) == []


EDITS: dict[str, tuple[Edit, str]] = {
    "hash edited": (tagged(2, tags.ADAPTER_SHA256, "a" * 64), "its files say"),
    "hash deleted": (tagged(2, tags.ADAPTER_SHA256, None), "its files say"),
    "hash of an unused version": (tagged(1, tags.ADAPTER_SHA256, "no hash"), "its files say"),
    "weight is no number": (tagged(2, tags.WEIGHT, "much"), "'much', its files say '1.5'"),
    "guidance is none": (tagged(2, tags.GUIDANCE, "both"), "'both', its files say 'sum'"),
    "guidance is the other": (tagged(2, tags.GUIDANCE, "contrast"), "'contrast', its files say 'sum'"),
    "weight is not finite": (tagged(2, tags.WEIGHT, "inf"), "'inf', its files say '1.5'"),
    "promoted weight edited": (tagged(2, tags.PROMOTED_WEIGHT, "2.5"), "'2.5', its files say '1.5'"),
    "promoted guidance deleted": (tagged(2, tags.PROMOTED_GUIDANCE, None), "'', its files say 'sum'"),
    "weight edited": (tagged(2, tags.WEIGHT, "2.5"), "'2.5', its files say '1.5'"),
    "from is no number": (tagged(2, tags.PROMOTION_FROM, "one"), "'one', which is no version; it is '1'"),
    "previous is no number": (tagged(2, tags.PROMOTION_PREVIOUS, "-1"), "which is no version"),
    "state unknown": (tagged(2, tags.PROMOTION, "maybe"), "'maybe', which says nothing; it is 'done'"),
    "state of another unknown": (tagged(1, tags.PROMOTION, ""), "which says nothing; the tag is removed"),
    "block emptied": (tagged(1, tags.BLOCKED, ""), "has an empty genarm.blocked; the tag is removed"),
    "note no JSON": (tagged(2, tags.ROLLBACK, "{"), "dropped a rollback of version 2"),
    "note without target": (tagged(2, tags.ROLLBACK, '{"reason": "x"}'), "dropped a rollback"),
    "pending for nothing": (tagged(1, tags.PROMOTION, "pending"), "reverted the unfinished promotion"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", EDITS)
def test_an_edited_tag_is_mended(
    store: Registry, make_arm: MakeArm, champions_so_far: BringChampions, tmp_path: Path, name: str
) -> None:
    edit, told = EDITS[name]
    champions_so_far(2)
    edit(store)
    assert len(store.inspect([DIMENSION])) == 1, "what the doctor says"
    (line,) = store.reconcile([DIMENSION])
    assert told in line
    assert state(store)["aliases"] == {"champion": 2, "previous": 1}
    champion = store.champions([DIMENSION])[DIMENSION]
    assert champion and (champion.adapter_sha256, champion.weight) == (adapter_hash(make_arm(1)), 1.5)
    used_throughout(store, make_arm, tmp_path)


def test_a_champion_with_unreadable_tags_is_told_and_mended(
    store: Registry, champions_so_far: BringChampions
) -> None:
    champions_so_far(1)
    for tag, value in (
        (tags.PROMOTED_WEIGHT, "much"),
        (tags.PROMOTED_GUIDANCE, "both"),
        (tags.ADAPTER_SHA256, "x"),
    ):
        tagged(1, tag, value)(store)
        with pytest.raises(RegistryError, match=rf"has {tag} = '{value}'.*hint: genarm registry reconcile"):
            store.champions([DIMENSION])
        assert len(store.reconcile([DIMENSION])) == 1 and store.champions([DIMENSION])


def test_a_version_that_was_rolled_back_stays_blocked_though_its_tag_is_emptied(
    store: Registry, champions_so_far: BringChampions
) -> None:
    champions_so_far(2)
    store.rollback(DIMENSION, "too long")
    for value in ("", None):
        tagged(2, tags.BLOCKED, value)(store)
        assert ["was rolled back and is not blocked" in f.what for f in store.inspect([DIMENSION])] == [True]
        store.reconcile([DIMENSION])
        assert state(store)["marks"][2]["blocked"] == "too long"


@pytest.mark.parametrize("alias", ["champion", "previous"])
def test_an_alias_on_a_version_without_an_arm_is_moved_back(
    store: Registry, make_arm: MakeArm, champions_so_far: BringChampions, tmp_path: Path, alias: str
) -> None:
    champions_so_far(2)
    store.client.create_model_version(NAME, source=str(tmp_path), await_creation_for=0)
    aliased(alias, 3)(store)
    if alias == "previous":
        with pytest.raises(RegistryError, match=r"no tag genarm\.adapter_sha256: edited by hand, or not"):
            store.rollback(DIMENSION, "too long")
    (line,) = store.reconcile([DIMENSION])
    assert f"alias {alias} points to version 3 of {NAME}, which holds no ARM" in line
    expected = {"champion": 1, "previous": 1} if alias == "champion" else {"champion": 2}
    assert state(store)["aliases"] == expected
    with pytest.raises(RegistryError, match="no tag genarm.adapter_sha256"):
        store.manual_decision(DIMENSION, 3, "try it")
    used_throughout(store, make_arm, tmp_path)


def test_a_blocked_champion_is_told(store: Registry, champions_so_far: BringChampions) -> None:
    champions_so_far(2)
    store.rollback(DIMENSION, "too long")
    aliased("champion", 2)(store)
    (fault,) = store.inspect([DIMENSION])
    assert "is the champion, though it is blocked: too long" in fault.what
    assert store.reconcile([DIMENSION]) == [], "somebody wanted it so"


def collect(project: Project) -> None:
    environment = {**os.environ, "MLFLOW_TRACKING_URI": project.uri}
    subprocess.run(
        [sys.executable, "-m", "mlflow", "gc", "--backend-store-uri", project.uri],
        cwd=project.states,  # the project's own folder mlflow/ would be taken for the library
        env=environment,
        check=True,
        capture_output=True,
    )


@pytest.mark.slow
def test_a_version_outlives_its_run_its_model_and_its_experiments(
    project: Project, store: Registry, make_arm: MakeArm, champions_so_far: BringChampions, tmp_path: Path
) -> None:
    champions_so_far(2)
    shown = store.show(DIMENSION)
    store.client.delete_run(shown["run_id"])
    store.client.delete_run(shown["tags"][tags.DECISION_RUN])
    collect(project)
    assert store.missing_runs([DIMENSION]) == [f"version 2 of {NAME}"]
    shown = store.show(DIMENSION)
    assert shown["run_id"].endswith("(gone)") and shown["params"] == {}
    assert shown["metrics"] == {"accuracy_after": 0.71, "accuracy_longer": 0.52}, (
        "which the version notes itself"
    )
    assert (register(store, make_arm(1)), promote(store, make_arm(1))) == (2, 2)
    store.client.delete_logged_model(shown["model_id"])
    files = Path(shown["files"].removeprefix("file://"))
    shutil.rmtree(files)
    (fault,) = store.inspect([DIMENSION])
    assert fault.what == f"the files of version 2 of {NAME} are gone"
    assert register(store, make_arm(1)) == 2 and store.inspect([DIMENSION]) == []
    for experiment in store.client.search_experiments():
        if experiment.name != "Default":
            store.client.delete_experiment(experiment.experiment_id)
    used_throughout(store, make_arm, tmp_path)


def test_a_deleted_model_starts_anew(
    store: Registry, make_arm: MakeArm, champions_so_far: BringChampions, tmp_path: Path
) -> None:
    champions_so_far(2)
    before = tmp_path / "champions.json"
    store.snapshot(before, [DIMENSION])
    store.client.delete_registered_model(NAME)
    assert store.reconcile([DIMENSION]) == [] and len(store.drift(before, [DIMENSION])) == 1
    assert store.snapshot(before, [DIMENSION]) == {DIMENSION: None}
    assert (register(store, make_arm(1)), promote(store, make_arm(1))) == (1, 1)
    used_throughout(store, make_arm, tmp_path)


def test_a_crash_whose_note_was_edited_is_repaired_all_the_same(
    store: Registry, make_arm: MakeArm, champions_so_far: BringChampions
) -> None:
    champions_so_far(2)
    register(store, make_arm(2))
    verdict = decision(store, make_arm(2))
    for last in range(3, 40):
        with pytest.raises(Killed):
            promote(dying(store, last), make_arm(2), decision=verdict)
        if state(store)["aliases"]["champion"] == 3:
            break
        store.reconcile([DIMENSION])
    tagged(3, tags.PROMOTION_FROM, "two")(store)
    assert "reverted the unfinished promotion of version 3" in store.reconcile([DIMENSION])[0]
    assert state(store)["aliases"]["champion"] == 2
