"""The plan: what DVC finds changed is carried to the stages that follow, and ARMs in use are left out."""

from genarm.pipeline.plan import planned_stages

GRAPH = {
    "pairs": [],
    "respond-champion@a": ["pairs"],
    "respond-champion@b": ["pairs"],
    "train@a": ["pairs"],
    "train@b": ["pairs"],
    "judge@a": ["train@a", "respond-champion@a"],
    "judge@b": ["train@b", "respond-champion@b"],
    "decide": ["judge@a", "judge@b"],
}


def running(changed: dict[str, list[object]], *in_use: str) -> set[str]:
    return {name for name, stage in planned_stages(changed, GRAPH, in_use).items() if stage.runs}


def test_it_leaves_out_what_would_measure_an_arm_in_use():
    promoted = {
        f"respond-champion@{d}": [{"changed deps": {"mlflow/incumbents.json": "modified"}}] for d in "ab"
    }
    everything = {"respond-champion@a", "respond-champion@b", "judge@a", "judge@b", "decide"}
    assert running(promoted) == everything
    assert running(promoted, "a") == {"respond-champion@b", "judge@b", "decide"}
    assert running(promoted, "a", "b") == set()


def test_a_change_is_carried_downstream_with_its_reason():
    changed = {"train@a": [{"changed deps": {"params.yaml": {"train.a": "modified"}}}, "changed command"]}
    planned = planned_stages(changed, GRAPH)
    assert running(changed) == {"train@a", "judge@a", "decide"}
    assert planned["train@a"].why == "train.a modified, command changed"
    assert (planned["judge@a"].why, planned["train@b"].why) == ("after train@a", "")


def test_a_stage_that_never_ran_says_so_instead_of_listing_all_it_reads():
    new = {"pairs": [{"changed deps": {"params.yaml": "new", "data": "new"}}]}
    assert planned_stages(new, GRAPH)["pairs"].why == "never run here"
    without_parameters = {"decide": [{"changed deps": {"genarm/report": "modified"}}]}
    assert planned_stages(without_parameters, GRAPH)["decide"].why == "genarm/report modified"
    assert planned_stages(without_parameters, GRAPH, recorded=["pairs"])["decide"].why == "never run here"


def test_of_several_causes_the_nearest_is_told():
    """What the stage before wrote changes because it runs; the code and parameters of a stage are its own."""
    code = {f"genarm/{name}": "modified" for name in ("config", "data", "models", "system", "types")}
    planned = planned_stages(
        {
            "pairs": [{"changed deps": code}],
            "train@a": [{"changed deps": {"artifacts/pairs/a": "modified"}}],
            "judge@b": [{"changed deps": {"params.yaml": {"dimensions.b.judge": "modified"}}}],
            "train@b": [{"changed outs": {"artifacts/arms/b": "deleted"}}],
        },
        GRAPH,
    )
    assert {stage: planned[stage].why for stage in GRAPH} == {
        "pairs": "genarm/config, genarm/data, genarm/models and 2 more modified",
        "respond-champion@a": "after pairs",
        "respond-champion@b": "after pairs",
        "train@a": "after pairs",
        "train@b": "artifacts/arms/b deleted",
        "judge@a": "after train@a",
        "judge@b": "dimensions.b.judge modified",
        "decide": "after judge@b",
    }
    by_hand = planned_stages({"judge@a": [{"changed deps": {"artifacts/arms/a": "modified"}}]}, GRAPH)
    assert by_hand["judge@a"].why == "artifacts/arms/a modified"
