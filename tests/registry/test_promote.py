"""Promotion moves the champion, once, where the decision still holds and the smoke test passes."""

from pathlib import Path

import pytest
from registry_processes import at_once, promote_slowly
from registry_toys import DIMENSION, DIMENSIONS, MakeArm, decision, promote, register, state

from genarm.errors import RegistryError, StaleDecision
from genarm.models.arm import adapter_hash, read_card
from genarm.registry import Registry
from genarm.system.files import read_json
from genarm.types import Champion


def test_promotion_moves_the_champion_and_remembers_the_one_before(
    store: Registry, make_arm: MakeArm, tmp_path: Path
) -> None:
    seen = []
    for n in (0, 1):
        register(store, make_arm(n))
        promote(store, make_arm(n), smoke_test=lambda folder: seen.append(read_card(folder).adapter_sha256))
    assert state(store) == {
        "aliases": {"champion": 2, "previous": 1},
        "marks": {n: {"promotion": "done", "blocked": ""} for n in (1, 2)},
    }
    assert seen == [adapter_hash(make_arm(n)) for n in (0, 1)], "the smoke test gets what was promoted"
    tags = store.show(DIMENSION)["tags"]
    assert tags["genarm.promoted_by"] == "test" and tags["genarm.report_sha256"] == "r" * 64
    run = store.client.get_run(tags["genarm.decision_run"])
    assert run.data.tags["genarm.promoted_version"] == "2"

    snapshot = tmp_path / "champions.json"
    assert len(store.drift(snapshot, DIMENSIONS)) == 1
    store.snapshot(snapshot, DIMENSIONS)
    champion = Champion(2, store.show(DIMENSION)["model_id"], adapter_hash(make_arm(1)), 1.5)
    assert read_json(snapshot, dict[str, Champion | None]) == {DIMENSION: champion, "plain": None}
    before = snapshot.stat().st_mtime_ns
    store.snapshot(snapshot, DIMENSIONS)
    assert snapshot.stat().st_mtime_ns == before, "DVC and git must not see a change where there is none"
    assert store.drift(snapshot, DIMENSIONS) == []

    again = promote(
        store, make_arm(1), smoke_test=lambda folder: pytest.fail("the champion was promoted again")
    )
    assert again == 2
    register(store, make_arm(1))
    assert "challenger" not in state(store)["aliases"], "the champion is not on trial"


def test_a_decision_against_another_champion_is_stale(store: Registry, make_arm: MakeArm) -> None:
    for n in (0, 1, 2):
        register(store, make_arm(n))
    promote(store, make_arm(0))
    slow = decision(store, make_arm(1))
    promote(store, make_arm(2))  # a second promoter was faster
    with pytest.raises(StaleDecision, match=r"against version 1 .* champion is version 3"):
        promote(store, make_arm(1), decision=slow)
    assert state(store)["aliases"] == {"champion": 3, "previous": 1}


@pytest.mark.slow
def test_of_two_promoters_at_a_time_one_is_stale(root: Path, store: Registry, make_arm: MakeArm) -> None:
    verdicts = []
    for n in (0, 1):
        register(store, make_arm(n))
        verdicts.append(decision(store, make_arm(n)))
    got = at_once(promote_slowly, [(root, verdict) for verdict in verdicts])
    assert got.count("stale") == 1
    champion = next(number for number in got if number != "stale")
    assert state(store)["aliases"]["champion"] == champion


def test_promotion_is_refused_where_nobody_decided_it(store: Registry, make_arm: MakeArm) -> None:
    with pytest.raises(RegistryError, match="no version of genarm-positive with adapter"):
        promote(store, make_arm(0))
    register(store, make_arm(0))
    held = decision(store, make_arm(0), "hold")
    with pytest.raises(RegistryError, match=r"is 'hold', not 'promote': win rate 0\.71"):
        promote(store, make_arm(0), decision=held)
    assert promote(store, make_arm(0), decision=held, force="the demo is today") == 1


def test_a_failed_smoke_test_leaves_everything_as_it_was(store: Registry, make_arm: MakeArm) -> None:
    for n in (0, 1, 2):
        register(store, make_arm(n))
        if n < 2:
            promote(store, make_arm(n))
    before = state(store)["aliases"]

    def fail(folder: Path) -> None:
        raise OSError("says nothing")

    with pytest.raises(RegistryError, match=r"version 3 .* smoke test .* says nothing; hint: version 2"):
        promote(store, make_arm(2), smoke_test=fail)
    assert state(store)["aliases"] == before == {"champion": 2, "previous": 1, "challenger": 3}
    assert state(store)["marks"][3]["promotion"] == "failed: says nothing"
    assert promote(store, make_arm(2)) == 3, "a failure that has passed is no obstacle"
