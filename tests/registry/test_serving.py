"""A version is served at what it was promoted with, however its adapter was tried since."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from registry_toys import (
    DIMENSION,
    METRICS,
    BringChampions,
    MakeArm,
    decision,
    kill_at_every_write,
    promote,
    register,
)

from genarm.errors import StaleDecision
from genarm.models.arm import read_card
from genarm.registry import Registry, tags
from genarm.registry.model_files import store_card, stored_card
from genarm.types import Decision

NAME = "genarm-positive"
BEFORE, SINCE = (1.5, "sum"), (0.4, "contrast")


def tried_anew(store: Registry, folder: Path, weight: float = 0.4, guidance: Any = "contrast") -> None:
    """The same bytes were trained again, and tuned to something else."""
    store.register(DIMENSION, folder, weight=weight, guidance=guidance, metrics=METRICS)


def measured_anew(store: Registry, folder: Path) -> Decision:
    return dataclasses.replace(decision(store, folder), weight=SINCE[0], guidance=SINCE[1])


def served(store: Registry, number: int = 1) -> list[tuple[float, str]]:
    """What `champions.json` would say, and what the files say to whoever loads the version from MLflow."""
    version = store.version(DIMENSION, number)
    card = stored_card(store, version)
    assert card is not None
    return [(use.weight, use.guidance) for use in (version.champion(), card)]


def without(store: Registry, number: int, *names: str) -> None:
    """A version as earlier genarm left it."""
    for name in names:
        store.client.delete_model_version_tag(NAME, str(number), name)


@pytest.mark.parametrize("registry_of", ["this genarm", "earlier genarm"])
def test_a_rollback_serves_what_was_promoted(
    store: Registry, make_arm: MakeArm, champions_so_far: BringChampions, tmp_path: Path, registry_of: str
) -> None:
    champions_so_far(2)
    if registry_of == "earlier genarm":
        for number in (1, 2):
            without(store, number, tags.PROMOTED_WEIGHT, tags.PROMOTED_GUIDANCE)
    tried_anew(store, make_arm(0))
    on_trial = store.version(DIMENSION, "challenger")
    assert on_trial.number == 1 and (on_trial.tried.weight, on_trial.tried.guidance) == SINCE
    assert (
        "to be used at weight 1.5, as it was promoted, and tried since at weight 0.4 by contrast"
        in on_trial.page
    )
    assert store.inspect([DIMENSION]) == store.reconcile([DIMENSION]) == []
    assert store.rollback(DIMENSION, "too cheerful") == 1
    assert served(store) == [BEFORE, BEFORE]
    champion = store.snapshot(tmp_path / "champions.json", [DIMENSION])[DIMENSION]
    assert champion and (champion.weight, champion.guidance) == BEFORE
    card = read_card(store.fetch(DIMENSION, champion, tmp_path / "champion"))
    assert (card.weight, card.guidance) == BEFORE
    store.reconcile([DIMENSION])
    assert served(store) == [BEFORE, BEFORE] and store.inspect([DIMENSION]) == []
    assert "to be used at weight 1.5\n" in store.version(DIMENSION, 1).page


def test_another_promotion_serves_what_its_decision_saw(
    store: Registry, make_arm: MakeArm, champions_so_far: BringChampions, tmp_path: Path
) -> None:
    """Also where another clone has put the same adapter on trial at a third weight meanwhile."""
    champions_so_far(1)
    first = store.champions([DIMENSION])[DIMENSION]
    store.fetch(DIMENSION, first, tmp_path / "champion")
    slow = dataclasses.replace(decision(store, make_arm(1)), weight=1.5, guidance="sum")
    register(store, make_arm(1))
    promote(store, make_arm(1))
    tried_anew(store, make_arm(0))
    verdict = measured_anew(store, make_arm(0))
    tried_anew(store, make_arm(0), 0.9, "sum")

    def fail(folder: Path) -> None:
        card = read_card(folder)
        assert (card.weight, card.guidance) == SINCE
        raise OSError("says nothing")

    with pytest.raises(Exception, match="says nothing"):
        promote(store, make_arm(0), decision=verdict, smoke_test=fail)
    assert served(store) == [BEFORE, BEFORE], "a promotion that failed leaves what is served alone"
    assert promote(store, make_arm(0), decision=verdict) == 1
    assert served(store) == [SINCE, SINCE] and store.inspect([DIMENSION]) == []
    champion = store.champions([DIMENSION])[DIMENSION]
    card = read_card(store.fetch(DIMENSION, champion, tmp_path / "champion"))
    assert (card.weight, card.guidance) == SINCE, "the folder that was fetched before says it, too"
    assert promote(store, make_arm(0), decision=verdict) == 1, "it is not promoted twice"
    with pytest.raises(
        StaleDecision, match="version 1 .* at weight 1.5 by sum, .* at weight 0.4 by contrast"
    ):
        promote(store, make_arm(1), decision=slow)


def test_by_hand_a_version_on_trial_is_promoted_as_it_is_tried_and_any_other_as_it_was(
    store: Registry, make_arm: MakeArm, champions_so_far: BringChampions
) -> None:
    champions_so_far(2)
    tried_anew(store, make_arm(0))
    assert store.manual_decision(DIMENSION, 1, "a demo").weight == 0.4
    register(store, make_arm(2))
    assert store.manual_decision(DIMENSION, 1, "a demo").weight == 1.5


def test_a_promotion_at_another_weight_killed_anywhere_leaves_one_of_both(
    store: Registry, make_arm: MakeArm, champions_so_far: BringChampions
) -> None:
    champions_so_far(2)
    tried_anew(store, make_arm(0))
    verdict, seen = measured_anew(store, make_arm(0)), set()
    for _ in kill_at_every_write(store, lambda dying: promote(dying, make_arm(0), decision=verdict)):
        store.reconcile([DIMENSION])
        in_use = store.champions([DIMENSION])[DIMENSION]
        now = SINCE if in_use.version == 1 else BEFORE
        seen.add(now)
        assert served(store) == [now, now]
        assert store.reconcile([DIMENSION]) == []
    assert seen == {BEFORE, SINCE} and served(store) == [SINCE, SINCE]
    assert tags.PROMOTION_USE not in store.version(DIMENSION, 1).tags


def test_a_weight_that_earlier_genarm_wrote_over_is_found_by_the_decision(
    store: Registry, make_arm: MakeArm, champions_so_far: BringChampions
) -> None:
    """It changed tags and files of a version that had been promoted, wherever its bytes came again."""
    champions_so_far(1)
    tried_anew(store, make_arm(1), 0.7, "sum")
    promote(
        store,
        make_arm(1),
        decision=dataclasses.replace(decision(store, make_arm(1)), weight=0.7, guidance="sum"),
    )
    version = store.version(DIMENSION, 2)
    store_card(store, version, dataclasses.replace(stored_card(store, version), weight=0.2))
    for tag in (tags.WEIGHT, tags.PROMOTED_WEIGHT):
        store.client.set_model_version_tag(NAME, "2", tag, "0.2")
    assert "its files" not in str([fault.what for fault in store.inspect([DIMENSION])])
    told = store.reconcile([DIMENSION])
    assert "genarm.promoted_weight = '0.2', it was promoted with '0.7'" in told[0] and len(told) == 3
    assert served(store, 2) == [(0.7, "sum")] * 2 and store.inspect([DIMENSION]) == []
    without(store, 2, tags.PROMOTED_GUIDANCE)
    store.reconcile([DIMENSION])
    assert served(store, 2) == [(0.7, "sum")] * 2


def test_the_champion_before_a_lost_one_is_served_as_it_was(
    store: Registry, make_arm: MakeArm, champions_so_far: BringChampions, tmp_path: Path
) -> None:
    champions_so_far(2)
    tried_anew(store, make_arm(0))
    store.client.create_model_version(NAME, source=str(tmp_path), await_creation_for=0)
    store.client.set_registered_model_alias(NAME, "champion", "3")
    store.client.set_registered_model_alias(NAME, "previous", "1")
    assert "alias champion is now 1" in " ".join(store.reconcile([DIMENSION]))
    assert served(store) == [BEFORE, BEFORE]


def test_files_that_were_lost_come_back_as_they_were_promoted(
    store: Registry, make_arm: MakeArm, champions_so_far: BringChampions
) -> None:
    import shutil

    champions_so_far(2)
    shutil.rmtree(Path(store.show(DIMENSION, 1)["files"].removeprefix("file://")))
    tried_anew(store, make_arm(0))
    assert served(store) == [BEFORE, BEFORE]
