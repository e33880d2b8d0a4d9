"""The evaluation prompts of all dimensions: each once, in an order that does not depend on any of them."""

from toy_params import dimension

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
