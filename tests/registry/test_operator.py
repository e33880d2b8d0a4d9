"""What a person reads who types a command again that was killed."""

from pathlib import Path

import pytest
from registry_toys import DIMENSION, BringChampions, Killed, MakeArm, dying, promote
from toy_params import dimension

from genarm.operations import registry as operations
from genarm.pipeline.project import Project
from genarm.registry import Registry
from genarm.system.files import read_json, write_json
from genarm.system.layout import Layout
from genarm.types import Champion

PARAMS = {
    "base": {"model": "toy"},
    "dimensions": {DIMENSION: dimension()},
}
AGAIN = (
    "positive: version 2 is the champion again; this rollback had been interrupted and was completed since"
)


@pytest.fixture
def operator(root: Path, champions_so_far: BringChampions) -> Project:
    champions_so_far(3)
    write_json(Layout(root).params, PARAMS)
    return Project(root)


def in_file(project: Project) -> int:
    champion = read_json(project.layout.champions, dict[str, Champion | None])[DIMENSION]
    return champion.version if champion else 0


def test_a_rollback_that_was_killed_before_it_was_told(operator: Project, store: Registry) -> None:
    def dies(line: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        operations.rollback(operator, DIMENSION, "too long", None, say=dies)
    said: list[str] = []
    operations.rollback(operator, DIMENSION, "too long", None, say=said.append)
    assert said == [AGAIN]
    assert in_file(operator) == 2
    operations.rollback(operator, DIMENSION, "too long", None, say=said.append)
    assert said[1:] == ["positive: version 1 is the champion again"] and in_file(operator) == 1


def test_a_rollback_that_was_killed_in_the_middle(operator: Project, store: Registry) -> None:
    with pytest.raises(Killed):
        dying(store, 3).rollback(DIMENSION, "too long", actor="operator")
    said: list[str] = []
    operations.rollback(operator, DIMENSION, "too long", None, say=said.append)
    assert said == [
        "positive: completed the rollback from version 3 to version 2",
        AGAIN,
    ]


def test_a_promotion_that_was_killed_and_one_that_was_done(
    operator: Project, store: Registry, make_arm: MakeArm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("genarm.pipeline.smoke_test.smoke_test", lambda *given: None)
    with pytest.raises(Killed):
        by_hand = store.manual_decision(DIMENSION, 1, "checked")
        promote(dying(store, 12), make_arm(0), decision=by_hand, force="checked")
    first, last = operations.promote(operator, DIMENSION, 1, "checked").splitlines()
    assert first == "positive: reverted the unfinished promotion of version 1"
    assert last == "positive: version 1 is the champion" and in_file(operator) == 1
    first, last = operations.promote(operator, DIMENSION, 1, "checked").splitlines()
    assert first.startswith("positive: version 1 was promoted before, by operator at 20")
    assert last == "positive: version 1 is the champion"
