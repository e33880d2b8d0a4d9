"""Promotions and rollbacks killed at every write: reconcile undoes the first and completes the second."""

import sqlite3
from pathlib import Path

import pytest
from registry_toys import (
    DIMENSION,
    DIMENSIONS,
    BringChampions,
    Killed,
    MakeArm,
    decision,
    dying,
    kill_at_every_write,
    promote,
    register,
    state,
)

from genarm.registry import Registry


@pytest.mark.parametrize("others", [pytest.param(0, marks=pytest.mark.slow), 2])
def test_a_promotion_killed_anywhere_is_repaired(
    store: Registry, make_arm: MakeArm, champions_so_far: BringChampions, others: int
) -> None:
    """After each death, reconcile leaves the new champion where it was done with, else the old one."""
    champions_so_far(others)
    register(store, make_arm(9))
    verdict, before, new = decision(store, make_arm(9)), state(store)["aliases"], others + 1
    finished = 0
    for _ in kill_at_every_write(store, lambda dying: promote(dying, make_arm(9), decision=verdict)):
        store.reconcile(DIMENSIONS)
        after, mark = state(store)["aliases"], state(store)["marks"][new]["promotion"]
        if mark == "done":
            finished += 1
            assert after["champion"] == new and "challenger" not in after
        else:
            assert after == before
            assert mark in ("", "reverted: interrupted before it was done")
        assert store.reconcile(DIMENSIONS) == []
    assert finished <= 3, "only what follows the mark `done` may be missing"
    assert promote(store, make_arm(9), decision=verdict) == new
    assert state(store)["aliases"] == {"champion": new} | ({"previous": 2} if others else {})


@pytest.mark.parametrize("to", [None, pytest.param(0, marks=pytest.mark.slow)])
def test_a_rollback_killed_anywhere_is_completed(
    store: Registry, champions_so_far: BringChampions, to: int | None
) -> None:
    champions_so_far(3)
    rolled = {"champion": 2, "previous": 1} if to is None else {}
    actions = kill_at_every_write(
        store, lambda dying: dying.rollback(DIMENSION, "too long", to=to, actor="me")
    )
    first = next(actions)
    assert first == 0 and store.reconcile(DIMENSIONS) == [] and state(store)["aliases"]["champion"] == 3
    next(actions)  # the intent is written, nothing else
    store.reconcile(DIMENSIONS)
    assert state(store)["aliases"] == rolled
    assert state(store)["marks"][3] == {"promotion": "rolled back: too long", "blocked": "too long"}
    trail = store.client.get_experiment_by_name("genarm/decisions").experiment_id
    found = store.client.search_runs([trail], "tags.`genarm.outcome` = 'rollback'")
    assert len(found) == 1 and found[0].info.status == "FINISHED"


@pytest.mark.slow
def test_each_death_of_a_rollback_leads_to_the_same_end(
    store: Registry, make_arm: MakeArm, champions_so_far: BringChampions
) -> None:
    champions_so_far(2)
    for last in range(2, 30):
        try:
            dying(store, last).rollback(DIMENSION, f"reason {last}")
        except Killed:
            store.reconcile([DIMENSION])
            assert state(store)["aliases"] == {"champion": 1}
            assert store.reconcile([DIMENSION]) == []
            promote(store, make_arm(1), force="tried again")
            assert state(store)["aliases"] == {"champion": 2, "previous": 1}
        else:
            break
    assert last > 6 and state(store)["aliases"] == {"champion": 1}


def test_an_alias_without_its_version_is_repaired(
    root: Path, store: Registry, champions_so_far: BringChampions
) -> None:
    champions_so_far(2)
    with sqlite3.connect(root / "mlflow" / "mlflow.db") as database:  # MLflow itself takes the alias along
        database.execute("UPDATE registered_model_aliases SET version = 7 WHERE alias = 'champion'")
    assert store.champions([DIMENSION]) == {DIMENSION: None}
    assert store.reconcile([DIMENSION]) == [
        "positive: alias champion pointed to version 7, which is gone; now 1"
    ]
    assert state(store)["aliases"] == {"champion": 1, "previous": 1}
