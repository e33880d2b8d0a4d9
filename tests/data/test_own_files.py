"""A file that somebody put into data/ or edited there is never lost without a word."""

import shutil

import pytest
from dvc_project import git

from genarm.data.dvc import data_version, pull_data, set_data, status
from genarm.data.own_files import only_here
from genarm.errors import DataError

LOST = "data/ holds 1 file of no data version, to be lost with it: "


@pytest.mark.parametrize("name", ["mine.jsonl", "more/mine.jsonl", "a.jsonl"])
def test_a_file_of_somebodys_own_stops_what_would_replace_data(project, source, name):
    own = project / "data" / name
    own.parent.mkdir(exist_ok=True)
    own.unlink(missing_ok=True)
    own.write_text('{"mine": 1}\n')
    for replaces in (
        lambda: pull_data(project),
        lambda: set_data(project, str(source)),
        lambda: set_data(project, str(project / "seed")),
    ):
        with pytest.raises(DataError, match=LOST + name) as caught:
            replaces()
        assert "genarm data data" in caught.value.hint and own.read_text() == '{"mine": 1}\n'
    assert only_here(project, [source]) == [name]


def test_the_way_out_makes_it_a_version_which_may_then_be_replaced(project, source):
    before = data_version(project)
    (project / "data" / "mine.jsonl").write_text('{"mine": 1}\n')
    with_mine = set_data(project, str(project / "data"))
    assert with_mine != before and sorted(f.name for f in (project / "data").iterdir()) == [
        "a.jsonl",
        "mine.jsonl",
    ]
    set_data(project, str(source))
    assert [f.read_text() for f in (project / "data").iterdir()] == ['{"a": 1}\n']


def test_what_is_missing_moved_or_older_stops_nothing(project):
    data, seed = project / "data", project / "seed"
    (data / "a.jsonl").rename(data / "b.jsonl")
    assert only_here(project) == [] and pull_data(project) == "ran"
    assert [f.name for f in data.iterdir()] == ["a.jsonl"]
    shutil.rmtree(data)
    assert only_here(project) == [] and pull_data(project) == "ran"
    (seed / "a.jsonl").write_text('{"seed": 2}\n')  # as a git pull brings it
    git(project, "commit", "--quiet", "-am", "newer")
    assert only_here(project) == [] and "data.dvc" in status(project)
    assert pull_data(project) == "ran" and (data / "a.jsonl").read_text() == '{"seed": 2}\n'


def test_what_a_killed_import_left_stops_nothing(project):
    data, seed = project / "data", project / "seed"
    (seed / "b.jsonl").write_text('{"seed": 3}\n')
    shutil.copy(seed / "b.jsonl", data / "b.jsonl")  # the next file was being copied
    (data / ".c.jsonl.x1y2.tmp").write_text('{"se')
    assert only_here(project) == [] and pull_data(project) == "ran"
    assert sorted(f.name for f in data.iterdir()) == ["a.jsonl", "b.jsonl"]


def test_edited_data_that_was_added_is_recorded_by_dvc_and_kept(project, source):
    set_data(project, str(source))
    (project / "data" / "a.jsonl").unlink()
    (project / "data" / "a.jsonl").write_text('{"a": 2}\n')
    before = data_version(project)
    pull_data(project)
    assert data_version(project) != before and (project / "data" / "a.jsonl").read_text() == '{"a": 2}\n'
