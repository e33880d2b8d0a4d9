"""The incumbents: noted when a run begins to measure, followed by an operator, left alone by a promotion."""

import pytest
from toy_params import dimension

from genarm.pipeline.incumbents import differing, follow_operator, note_incumbents
from genarm.pipeline.project import Project
from genarm.system.files import read_json, write_json
from genarm.types import Champion

FIRST, SECOND = Champion(1, "m-1", "a" * 64, 1.0), Champion(2, "m-2", "b" * 64, 0.5)


@pytest.fixture
def project(tmp_path):
    write_json(
        tmp_path / "params.yaml",
        {"base": {"model": "x"}, "dimensions": {"kind": dimension("a"), "curt": dimension("b")}},
    )
    made = Project(tmp_path)
    write_json(made.layout.champions, {"kind": FIRST, "curt": None})
    return made


def noted(project: Project) -> dict[str, Champion | None]:
    return read_json(project.layout.incumbents, dict[str, Champion | None])


def test_a_run_that_measures_notes_the_champions_and_what_this_changes(project):
    assert note_incumbents(project) == {"decide", "respond-champion@kind"}, "curt has none, as before"
    assert noted(project) == {"kind": FIRST, "curt": None}
    assert note_incumbents(project) == set() and differing(project) == {}


def test_a_promotion_leaves_them_alone_until_the_next_run_measures(project):
    note_incumbents(project)
    write_json(project.layout.champions, {"kind": FIRST, "curt": SECOND})
    assert noted(project)["curt"] is None and differing(project) == {"curt": (None, SECOND)}
    assert note_incumbents(project) == {"decide", "respond-champion@curt"}


def test_an_operator_is_followed_unless_the_arm_trained_here_is_in_use(project, monkeypatch):
    note_incumbents(project)
    write_json(project.layout.champions, {"kind": SECOND, "curt": SECOND})
    monkeypatch.setattr(Project, "is_in_use", lambda self, d, champion: d == "kind" and champion == SECOND)
    assert follow_operator(project) == {"decide", "respond-champion@curt"}
    assert noted(project) == {"kind": FIRST, "curt": SECOND}


def test_without_an_arm_an_operator_is_followed(project):
    write_json(project.layout.incumbents, {"kind": None, "curt": None})
    assert follow_operator(project) == {"decide", "respond-champion@kind"}


def test_a_dimension_that_is_gone_is_no_longer_noted(project):
    write_json(project.layout.incumbents, {"kind": FIRST, "curt": None, "gone": SECOND})
    assert note_incumbents(project) == {"decide"} and set(noted(project)) == {"kind", "curt"}
