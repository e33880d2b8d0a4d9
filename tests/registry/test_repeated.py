"""A command that was killed and is typed again does what it says once, whoever repaired it in between."""

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
    kill_at_every_write,
    promote,
    register,
    state,
)

from genarm.errors import RegistryError, StaleDecision
from genarm.registry import Registry, tags

Killing = Callable[[Callable[[Registry], Any]], Any]


def rollbacks_on_record(store: Registry) -> int:
    trail = store.client.get_experiment_by_name("genarm/decisions").experiment_id
    return len(store.client.search_runs([trail], "tags.`genarm.outcome` = 'rollback'"))


@pytest.mark.slow
@pytest.mark.parametrize("between", ["nobody", "reconcile"])
def test_a_rollback_killed_at_any_write_and_repeated_goes_back_once(
    project: Project, store: Registry, champions_so_far: BringChampions, between: str
) -> None:
    champions_so_far(3)
    deaths, told = 0, []
    for last in range(40):
        champions_so_far(3)
        try:
            dying(store, last).rollback(DIMENSION, "too long", actor="me")
        except Killed:
            deaths += 1
        else:
            break
        if between == "reconcile":
            store.reconcile([DIMENSION])
        told.clear()
        again = store.rollback(DIMENSION, "too long", actor="me", tell=told.append)
        assert again == 2 and len(told) == 1, f"after write {last}"
        assert told[0].startswith("positive: version 2 is the champion again")
        assert ("had been interrupted" in told[0]) == (last > 0)
        assert state(store)["aliases"] == {"champion": 2, "previous": 1}
        assert state(store)["marks"][3] == {"promotion": "rolled back: too long", "blocked": "too long"}
        assert rollbacks_on_record(store) == 1 and store.reconcile([DIMENSION]) == []
    assert deaths > 6


def test_a_rollback_is_repeated_on_purpose_once_it_was_told(
    store: Registry, champions_so_far: BringChampions
) -> None:
    champions_so_far(3)
    with pytest.raises(KeyboardInterrupt):
        store.rollback(DIMENSION, "too long", tell=_interrupt)  # all is written, and nobody knows
    said: list[str] = []
    assert store.rollback(DIMENSION, "too long", say=said.append) == 2 and said == []
    assert store.rollback(DIMENSION, "too long") == 1, "this one is meant"
    assert state(store)["aliases"] == {"champion": 1}


def _interrupt(line: str) -> None:
    raise KeyboardInterrupt


def test_another_rollback_than_the_interrupted_one_is_not_added_to_it(
    store: Registry, champions_so_far: BringChampions
) -> None:
    champions_so_far(3)
    with pytest.raises(Killed):
        dying(store, 3).rollback(DIMENSION, "too long")
    said: list[str] = []
    with pytest.raises(
        RegistryError, match="another rollback had been interrupted.*from version 3 to version 2"
    ) as told:
        store.rollback(DIMENSION, "too loud", to=1, say=said.append)
    assert said == ["positive: completed the rollback from version 3 to version 2"]
    assert "type the command again" in told.value.hint and state(store)["aliases"]["champion"] == 2
    assert store.rollback(DIMENSION, "too loud", to=1) == 1
    assert not [v for v in store.list([DIMENSION]) if v["version"] == 1 and v["blocked"]]


def test_a_version_promoted_since_is_not_rolled_back_in_place_of_the_one_that_was_meant(
    store: Registry, make_arm: MakeArm, champions_so_far: BringChampions
) -> None:
    champions_so_far(2)
    with pytest.raises(KeyboardInterrupt):
        store.rollback(DIMENSION, "too long", tell=_interrupt)
    register(store, make_arm(2))
    promote(store, make_arm(2))
    told: list[str] = []
    assert store.rollback(DIMENSION, "too long", tell=told.append) == 3
    assert "from version 2 to 1, had been interrupted" in told[0] and "nothing is done now" in told[0]
    assert state(store)["aliases"]["champion"] == 3
    assert store.rollback(DIMENSION, "too long") == 1, "typed once more it is meant"
    assert state(store)["marks"][3]["blocked"] == "too long"


@pytest.mark.slow
@pytest.mark.parametrize("blocked", [False, True])
def test_a_promotion_by_hand_killed_at_any_write_and_repeated_happens_once(
    store: Registry, make_arm: MakeArm, champions_so_far: BringChampions, blocked: bool
) -> None:
    """`registry promote --version 3 --force REASON`; a block it would have lifted stays."""

    def by_hand(at: Registry) -> int:
        chosen = at.manual_decision(DIMENSION, 3, "checked")
        return promote(at, make_arm(2), decision=chosen, force="checked")

    for last in range(60):
        champions_so_far(3)
        store.rollback(DIMENSION, "too long")
        if not blocked:
            store.client.delete_model_version_tag("genarm-positive", "3", tags.BLOCKED)
            store.client.delete_model_version_tag("genarm-positive", "3", tags.PROMOTION)
        try:
            by_hand(dying(store, last))
        except Killed:
            pass
        else:
            break
        store.reconcile([DIMENSION])
        if state(store)["aliases"]["champion"] == 2:
            assert bool(state(store)["marks"][3]["blocked"]) == blocked, f"after write {last}"
        assert by_hand(store) == 3, f"after write {last}"
        assert state(store)["aliases"] == {"champion": 3, "previous": 2}
        assert state(store)["marks"][3] == {"promotion": "done", "blocked": ""}
        run = store.client.get_run(store.show(DIMENSION)["tags"]["genarm.decision_run"])
        assert run.data.tags["genarm.promoted_version"] == "3"
    assert last > 8


def test_what_was_promoted_is_on_record_after_any_death(
    store: Registry, make_arm: MakeArm, champions_so_far: BringChampions
) -> None:
    champions_so_far(1)
    register(store, make_arm(9))
    verdict, said = decision(store, make_arm(9)), []
    for _ in kill_at_every_write(store, lambda dying: promote(dying, make_arm(9), decision=verdict)):
        store.reconcile([DIMENSION])
        shown = store.show(DIMENSION)
        if shown["version"] == 2:
            run = store.client.get_run(shown["tags"]["genarm.decision_run"])
            assert run.data.tags["genarm.promoted_version"] == "2"
            assert promote(store, make_arm(9), decision=verdict, say=said.append) == 2
    assert said and all(line.startswith("positive: version 2 was promoted before, by test") for line in said)


def test_who_loses_a_race_is_told_so(
    store: Registry, make_arm: MakeArm, champions_so_far: BringChampions
) -> None:
    """The alias is read again before a change is called done: somebody may have moved it by hand."""
    champions_so_far(2)
    register(store, make_arm(2))

    def meanwhile(_folder: Path) -> None:
        store.client.set_registered_model_alias("genarm-positive", "champion", "1")

    with pytest.raises(StaleDecision, match="somebody else made version 1 the champion meanwhile"):
        promote(store, make_arm(2), smoke_test=meanwhile)
    assert state(store)["aliases"]["champion"] == 1
    assert state(store)["marks"][3]["promotion"] == "reverted: overtaken by version 1"
    store.client.set_registered_model_alias("genarm-positive", "champion", "2")
    with pytest.raises(Killed):
        dying(store, 1).rollback(DIMENSION, "too long", to=1)
    store.client.set_registered_model_alias("genarm-positive", "champion", "3")
    assert "the champion is version 3, not 1" in store.reconcile([DIMENSION])[0]
    assert state(store)["aliases"]["champion"] == 3 and store.reconcile([DIMENSION]) == []
