"""A rollback goes one champion back, and what it blocks stays out until a person says why it may return."""

import pytest
from registry_toys import DIMENSION, BringChampions, MakeArm, promote, state

from genarm.errors import RegistryError
from genarm.registry import Registry


def test_a_rolled_back_version_stays_out(
    store: Registry, make_arm: MakeArm, champions_so_far: BringChampions
) -> None:
    champions_so_far(3)
    assert store.rollback(DIMENSION, "answers too long") == 2
    with pytest.raises(RegistryError, match="version 3 .* is blocked: answers too long"):
        promote(store, make_arm(2))
    assert store.rollback(DIMENSION, "worse still") == 1, "each rollback goes one champion further back"
    with pytest.raises(RegistryError, match=r"no champion before version 1; hint: .*--to"):
        store.rollback(DIMENSION, "and again")
    with pytest.raises(RegistryError, match="version 3 .* is blocked"):
        store.rollback(DIMENSION, "forward?", to=3)
    by_hand = store.manual_decision(DIMENSION, 3, "length is fixed elsewhere")
    assert "is blocked: answers too long" in store.blocked(DIMENSION, by_hand.challenger_sha256)
    promote(store, make_arm(2), decision=by_hand, force="length is fixed elsewhere")
    assert store.blocked(DIMENSION, by_hand.challenger_sha256) == ""
    assert state(store)["aliases"] == {"champion": 3, "previous": 1}
    assert state(store)["marks"][3] == {"promotion": "done", "blocked": ""}
    with pytest.raises(RegistryError, match="needs a reason"):
        store.rollback(DIMENSION, " ")
