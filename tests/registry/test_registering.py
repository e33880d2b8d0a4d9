"""An ARM becomes a version, once, that says where it comes from; killed anywhere, there is one version."""

import json
import shutil
from pathlib import Path

import pytest
from registry_toys import (
    DIMENSION,
    DIMENSIONS,
    METRICS,
    MakeArm,
    kill_at_every_write,
    promote,
    register,
    state,
)

from genarm.errors import AdapterError
from genarm.models.arm import CARD, WEIGHTS, read_card
from genarm.registry import Registry, tags
from genarm.system.files import read_value
from genarm.types import ArmCard, Champion


def test_an_adapter_is_registered_once(store: Registry, make_arm: MakeArm) -> None:
    assert [register(store, make_arm(n)) for n in (0, 1, 0, 1)] == [1, 2, 1, 2]
    assert state(store)["aliases"] == {"challenger": 2}
    register(store, make_arm(0))
    assert state(store)["aliases"] == {"challenger": 1}, "the adapter on trial is the one registered last"
    experiment = store.client.get_experiment_by_name("genarm/train").experiment_id
    assert len(store.client.search_runs([experiment])) == 2


def test_a_version_leads_back_to_where_it_came_from(store: Registry, make_arm: MakeArm) -> None:
    folder = make_arm(0)
    register(store, folder)
    shown = store.show(DIMENSION, "challenger")
    card = read_card(folder)
    expected = {
        "adapter_sha256": card.adapter_sha256,
        "base_weights_sha256": card.model_weights_sha256,
        "tokenizer_sha256": card.tokenizer_sha256,
        "data_md5": "d" * 32,
        "git_commit": "c" * 40,
        "flow_run": "f-1",
        "git_dirty": "false",
        "dvc_stage": "train@positive",
        "beta": "0.1",
        "weight": "1.5",
    }
    assert {f"genarm.{k}": v for k, v in expected.items()}.items() <= shown["tags"].items()
    assert shown["params"]["lora.rank"] == "2"
    assert METRICS.items() <= shown["metrics"].items()
    run = store.client.get_run(shown["run_id"])
    assert run.inputs.dataset_inputs[0].dataset.digest == "d" * 32
    assert run.info.status == "FINISHED"
    curve = store.client.get_metric_history(shown["run_id"], "rewards/margins")
    assert [(point.step, point.value) for point in curve] == [(10, 0.1), (20, 0.4)]
    model = store.client.get_logged_model(shown["model_id"])
    assert {metric.key for metric in model.metrics} == set(METRICS)
    assert json.loads(model.tags["mlflow.modelVersions"]) == [{"name": "genarm-positive", "version": 1}]
    assert not list(Path(shown["files"]).rglob("*.pkl"))


def test_the_guidance_that_a_weight_was_tuned_for_goes_with_the_version(
    store: Registry, make_arm: MakeArm, tmp_path: Path
) -> None:
    """The same adapter on trial by the other guidance is the same version, with a new tag and card."""
    for by, times in (("sum", 1), ("contrast", 2)):
        for _ in range(times):
            number = store.register(DIMENSION, make_arm(0), guidance=by, metrics=METRICS)
        version = store.version(DIMENSION, "challenger")
        assert (number, version.tags[tags.GUIDANCE], version.champion().guidance) == (1, by, by)
        card = read_card(store.fetch(DIMENSION, version.champion(), tmp_path / by))
        assert card.guidance == by
    assert "by contrast" in store.client.get_model_version("genarm-positive", "1").description
    promote(store, make_arm(0))
    assert store.snapshot(tmp_path / "champions.json", [DIMENSION])[DIMENSION].guidance == "contrast"
    store.register(DIMENSION, make_arm(0), guidance="sum", metrics=METRICS)
    assert store.version(DIMENSION, "champion").champion().guidance == "contrast", "the champion's is settled"


def test_a_version_of_earlier_genarm_guides_by_the_sum(
    store: Registry, make_arm: MakeArm, tmp_path: Path
) -> None:
    """Neither its tags nor its card nor the snapshot said anything of guidance."""
    register(store, make_arm(0))
    store.client.delete_model_version_tag("genarm-positive", "1", tags.GUIDANCE)
    assert store.version(DIMENSION, 1).champion().guidance == "sum"
    assert store.inspect([DIMENSION]) == []
    assert read_value(
        {"version": 1, "model_id": "m", "adapter_sha256": "a", "weight": 1.0}, Champion, "f"
    ) == (Champion(1, "m", "a", 1.0, "sum"))
    fields = json.loads((make_arm(0) / CARD).read_text())
    assert fields.pop("guidance") == "sum"
    assert read_value(fields, ArmCard, "f").guidance == "sum"


def test_the_page_of_a_version_is_readable(store: Registry, make_arm: MakeArm) -> None:
    register(store, make_arm(0))
    page = store.client.get_model_version("genarm-positive", "1").description
    assert "ARM for **positive**" in page and "- accuracy_after: 0.71" in page and f"`{'d' * 32}`" in page
    assert "genarm-positive@champion" in store.client.get_registered_model("genarm-positive").description


def test_a_registration_killed_anywhere_leads_to_one_version(store: Registry, make_arm: MakeArm) -> None:
    deaths = list(kill_at_every_write(store, lambda dying: register(dying, make_arm(0))))
    assert len(deaths) > 10
    assert [row["version"] for row in store.list([DIMENSION])] == [1]
    assert state(store)["aliases"] == {"challenger": 1}
    experiment = store.client.get_experiment_by_name("genarm/train").experiment_id
    assert [run.info.status for run in store.client.search_runs([experiment])] == ["FINISHED"]
    assert len(store.client.search_logged_models([experiment])) == 1


def test_an_altered_adapter_is_not_registered(store: Registry, make_arm: MakeArm, tmp_path: Path) -> None:
    folder = tmp_path / "altered"
    shutil.copytree(make_arm(0), folder)
    with (folder / WEIGHTS).open("ab") as file:
        file.write(b"x")
    with pytest.raises(AdapterError, match="altered or cut short"):
        register(store, folder)
    with pytest.raises(AdapterError, match="'positive', to be registered as 'plain'"):
        store.register("plain", make_arm(0), metrics={})
    assert store.list(DIMENSIONS) == []
