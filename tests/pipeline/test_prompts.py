"""The evaluation prompts of all dimensions: each once, in an order that does not depend on any of them."""

from toy_params import dimension

from genarm.pipeline.preflight.further_prompts import further_prompts
from genarm.pipeline.project import Project
from genarm.pipeline.stages.prompts import prompts
from genarm.system.files import read_rows, write_json, write_rows
from genarm.types import Message, PreferencePair, Prompt


def pair(question: str) -> PreferencePair:
    return PreferencePair(Prompt((Message("user", question),)), "yes", "no")


def test_prompts_that_two_dimensions_share_are_asked_once_in_the_order_of_their_ids(tmp_path):
    write_json(
        tmp_path / "params.yaml",
        {"base": {"model": "nowhere"}, "dimensions": {"kind": dimension(), "curt": dimension()}},
    )
    layout = Project(tmp_path).layout
    write_rows(layout.pairs("kind", "evaluation"), [pair(q) for q in ("a", "b", "a")])
    write_rows(layout.pairs("curt", "evaluation"), [pair(q) for q in ("c", "b")])
    write_rows(layout.pairs("gone", "evaluation"), [pair("of a dimension that is no longer there")])
    found = prompts(Project(tmp_path))
    assert {p.messages[0].content for p in found} == {"a", "b", "c"}
    assert [p.id for p in found] == sorted({p.id for p in found}) and len(found) == 3
    assert read_rows(layout.prompts, Prompt) == found


def test_further_prompts_come_last_without_those_of_any_split(tmp_path, caplog):
    """Of five rows one is trained on, one goes on from it, and one stands there twice; two are new."""
    params = {"base": {"model": "nowhere"}, "dimensions": {"kind": dimension()}}
    rule = {"max_prompts": 500, "extra": "more.jsonl"}
    write_json(tmp_path / "params.yaml", {**params, "decide": rule})
    layout = Project(tmp_path).layout
    write_rows(layout.pairs("kind", "evaluation"), [pair("z"), pair("y")])
    write_rows(layout.pairs("kind", "train"), [pair("a")])
    write_rows(layout.quarantine("kind"), [{"reason": "no prompt"}])
    turns = [{"role": role, "content": text} for role, text in (("user", "a"), ("assistant", "yes"))]
    later = {"prompt": [*turns, {"role": "user", "content": "and then?"}]}
    write_rows(tmp_path / "more.jsonl", [*({"prompt": text} for text in ("a", "b", "c", "b")), later])
    found = [p.messages[0].content for p in prompts(Project(tmp_path))]
    assert set(found[:2]) == {"y", "z"} and set(found[2:]) == {"b", "c"} and len(found) == 4
    told = "2 of 5 prompts are new; left out are 2 of the pairs' conversations and 1 that stand there twice"
    assert told in caplog.text


def test_a_file_that_dvc_does_not_see_is_refused_before_anything_runs(tmp_path):
    params = {"base": {"model": "nowhere"}, "dimensions": {"kind": dimension()}}
    rule = {"max_prompts": 500, "extra": "more.jsonl"}
    write_json(tmp_path / "params.yaml", {**params, "decide": rule})
    write_rows(tmp_path / "more.jsonl", [{"prompt": "a"}, {"prompt": "a"}])
    looks = {"mlflow/looks.json": ["kind"]}

    def found(deps: list[str], params: list[object]) -> list[tuple[str, str]]:
        stages = {"prompts": {"deps": deps}, "respond": {"do": {"params": params}}}
        write_json(tmp_path / "dvc.yaml", {"stages": stages})
        return [(r.status, r.detail) for r in further_prompts(Project(tmp_path))]

    (first, told), (second, noted), _ = found(["artifacts/pairs"], [])
    assert first == second == "fail" and "do not depend on mlflow/looks.json" in told
    assert "the stage prompts does not depend on more.jsonl" in noted
    twice = "decide.extra: 1 of the 2 prompts of more.jsonl stand there twice"
    assert found(["more.jsonl"], [looks]) == [("warn", twice)]
