"""Answers as they come: used again under the same conditions, whole rows only."""

import pytest
from answering_toys import answers, same, with_engine

from genarm.pipeline.answering.journal import Journal
from genarm.types import Response


def response(i: int) -> Response:
    return Response(f"p{i}", "text\nof é", 3, "stop", -4.5, 0.25, [(4, 0.5)] if i else None)


def kept(file, depends_on):
    with Journal(file, depends_on) as journal:
        return list(journal.responses)


def test_what_was_kept_is_there_again_and_what_was_cut_is_not(tmp_path):
    file = tmp_path / "kept" / "served-base.jsonl"
    with Journal(file, {"seed": 1}) as journal:
        for i in range(3):
            journal.add(response(i))
    whole = file.read_bytes()
    file.write_bytes(whole[:-5])
    with Journal(file, {"seed": 1}) as journal:
        assert list(journal.responses) == ["p0", "p1"]
        assert journal.responses["p1"].text == response(1).text
        journal.add(response(2))
    assert file.read_bytes() == whole
    assert kept(file, {"seed": 1}) == ["p0", "p1", "p2"]
    assert kept(file, {"seed": 2}) == [] and kept(file, {"seed": 1}) == []


@pytest.mark.parametrize("damage", [b"", b"\n", b'{"of": 1', b"\xff\xfe\n"])
def test_a_damaged_file_is_begun_anew(tmp_path, damage):
    file = tmp_path / "served-base.jsonl"
    file.write_bytes(damage)
    assert kept(file, {}) == [] and kept(file, {}) == []


def test_only_prompts_without_an_answer_are_asked(project, toy, two_servers, built_in):
    """With most answers there, servers that are gone answer nothing that is asked, and nothing is."""
    asked = with_engine(project, toy, {"server": two_servers})
    answers(asked, "champion")
    [file] = project.layout.kept.glob("served-champion-kind.jsonl")
    rows = file.read_bytes().splitlines(keepends=True)
    assert len(rows) == 21
    file.write_bytes(b"".join(rows[:8]))
    same(answers(asked, "champion"), built_in["champion"])
    assert file.read_bytes().splitlines(keepends=True)[:8] == rows[:8]
    moved = with_engine(project, toy, {"server": "http://127.0.0.1:9/v1", "patience": 0.5})
    same(answers(moved, "champion"), built_in["champion"])
