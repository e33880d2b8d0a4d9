"""A training has one run: what shows it while it runs becomes the record of its ARM."""

from pathlib import Path

import pytest
from registry_toys import CURVES, DIMENSION, MakeArm, kill_at_every_write, register

from genarm.models.arm import adapter_hash
from genarm.registry import Registry
from genarm.registry.live_run import following

FACTS = {"dimension": DIMENSION, "pairs_sha256": "p" * 64}
PARAMS = {"base": "toy", "learning_rate": 5e-4, "lora": {"rank": 2}}


def train(root: Path, arm: Path) -> None:
    """Show a training that leads to an ARM; the server took the first of the two rows of its curves."""
    with following(root, f"train {DIMENSION}", FACTS, PARAMS) as follow:
        follow(CURVES[0])
        follow.adapter_sha256 = adapter_hash(arm)


def runs(store: Registry) -> list:  # type: ignore[type-arg]
    experiment = store.client.get_experiment_by_name("genarm/train").experiment_id
    return list(store.client.search_runs([experiment]))


def test_the_run_that_showed_a_training_becomes_its_record(
    root: Path, store: Registry, make_arm: MakeArm
) -> None:
    train(root, make_arm(0))
    [shown] = runs(store)
    assert "genarm.params_sha256" not in shown.data.tags
    register(store, make_arm(0))
    [run] = runs(store)
    assert run.info.run_id == shown.info.run_id == store.show(DIMENSION, 1)["run_id"]
    assert run.info.status == "FINISHED" and run.info.run_name.startswith("positive-")
    assert run.data.params == {"base": "toy", "learning_rate": "0.0005", "lora.rank": "2"}
    curve = store.client.get_metric_history(run.info.run_id, "loss")
    assert [(point.step, point.value) for point in curve] == [(10, 0.7), (20, 0.6)], "each row once"
    train(root, make_arm(0))  # once more, to the same bytes
    assert len(runs(store)) == 2
    register(store, make_arm(0))
    assert [r.info.run_id for r in runs(store)] == [run.info.run_id]


@pytest.mark.parametrize("step", [1, 4])
def test_a_registration_that_was_killed_after_it_took_the_run_starts_over(
    root: Path, store: Registry, make_arm: MakeArm, step: int
) -> None:
    train(root, make_arm(0))
    deaths = kill_at_every_write(store, lambda dying: register(dying, make_arm(0)))
    for _ in range(step + 1):
        next(deaths)
    register(store, make_arm(0))
    [run] = runs(store)
    assert run.info.status == "FINISHED" and run.info.run_id == store.show(DIMENSION, 1)["run_id"]
    curve = store.client.get_metric_history(run.info.run_id, "loss")
    assert [point.step for point in curve] == [10, 20]
    train(root, make_arm(1))
    assert len(runs(store)) == 2, "another training has a run of its own"
