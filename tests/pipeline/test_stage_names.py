"""Stage names: the same in the code, in `dvc.yaml` and on the command line; which stages a run needs."""

from pathlib import Path

from ruamel.yaml import YAML

from genarm.data.dvc import graph
from genarm.pipeline.stage_names import STAGES, dimension_of, measuring_stages, stage_of, tuning_stages

ROOT = Path(__file__).parents[2]
DVC = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]


def test_the_names_are_those_of_dvc_in_its_order():
    assert list(STAGES) == list(DVC)
    assert {name: "foreach" in stage for name, stage in DVC.items()} == STAGES


def test_each_stage_has_a_file_and_a_command_of_its_name():
    for name, stage in DVC.items():
        stage = stage.get("do", stage)
        verb = name.partition("-")[0]
        assert stage["cmd"].split()[:2] == ["genarm", verb]
        assert (ROOT / "genarm" / "pipeline" / "stages" / f"{verb}.py").is_file()


def test_a_run_measures_only_arms_that_are_not_in_use():
    each = ["respond@b", "respond-champion@b", "judge@b"]
    assert measuring_stages(["a", "b"], {"a"}) == ["prompts", "respond-base", *each, "decide", "report"]
    assert measuring_stages(["a", "b"], {"a", "b"}) == []
    assert len(measuring_stages(["a", "b"])) == 10
    both = [name.replace("@b", f"@{d}") for d in "ab" for name in each]
    assert measuring_stages(["a", "b"]) == ["prompts", "respond-base", *both, "decide", "report"]


def test_a_dimension_is_read_from_the_name_that_it_is_in():
    assert dimension_of(stage_of("respond-champion", "not-rude")) == "not-rude"
    assert dimension_of("respond-base") == ""


def test_the_measuring_stages_are_all_that_training_does_not_need_in_an_order_that_dvc_allows():
    upstream = graph(ROOT)
    dimensions = [dimension_of(s) for s in upstream if s.startswith("train@")]
    trained = {"data.dvc", *(stage_of(s, d) for s in ("pairs", "train") for d in dimensions)}
    stages = [*tuning_stages(dimensions), *measuring_stages(dimensions)]
    assert tuning_stages(dimensions, in_use=dimensions[:1]) == [stage_of("tune", dimensions[1])]
    assert {*stages} == {*upstream} - trained
    for stage in stages:
        before = {*stages[: stages.index(stage)]} | trained
        assert {*upstream[stage]} <= before, stage
