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
        f"respond-champion@{d}": [{"changed deps": {"mlflow/champions.json": "modified"}}] for d in "ab"
    }
    everything = {"respond-champion@a", "respond-champion@b", "judge@a", "judge@b", "decide"}
    assert running(promoted) == everything
    assert running(promoted, "a") == {"respond-champion@b", "judge@b", "decide"}
    assert running(promoted, "a", "b") == set()


def test_a_change_is_carried_downstream_with_its_reason():
    changed = {"train@a": [{"changed deps": {"params.yaml": {"train.a": "modified"}}}, "changed command"]}
    planned = planned_stages(changed, GRAPH)
    assert running(changed) == {"train@a", "judge@a", "decide"}
    assert planned["train@a"].why == "params.yaml train.a modified, changed command"
    assert (planned["judge@a"].why, planned["train@b"].why) == ("after train@a", "")


def test_a_stage_that_never_ran_says_so_instead_of_listing_all_it_reads():
    new = {"pairs": [{"changed deps": {"params.yaml": "new", "data": "new"}}]}
    assert planned_stages(new, GRAPH)["pairs"].why == "never run here"
