"""A file that somebody put into data/ or edited there is never lost without a word."""

import shutil
from pathlib import Path

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


def test_data_of_no_version_at_all_is_somebodys_own(project, source):
    (project / "data.dvc").unlink()
    (project / "data" / "mine.jsonl").write_text('{"mine": 1}\n')
    with pytest.raises(DataError, match=LOST + r"mine\.jsonl"):
        set_data(project, str(source))


def test_what_dvc_ignores_and_what_cannot_be_read_is_somebodys_own(project, monkeypatch):
    (project / ".dvcignore").write_text("*.bak\n")
    (project / "data" / "notes.bak").write_text("mine")
    (project / "data" / ".hidden").write_text("mine too")
    assert only_here(project) == [".hidden", "notes.bak"]
    monkeypatch.chdir(project.parent)
    assert only_here(Path(project.name)) == [".hidden", "notes.bak"]
    with pytest.raises(DataError) as caught:
        set_data(project, str(project / "data"))
    assert caught.value.hint == "move them out of data/", "hidden files become part of no version"
    (project / "data" / ".hidden").rename(project / "data" / ".DS_Store")
    assert only_here(project) == ["notes.bak"]
    monkeypatch.setattr("genarm.data.dvc_content.Contents.hash_of", denied)
    assert "a.jsonl" not in only_here(project), "git has it"


def denied(*_: object) -> str:
    raise PermissionError


def test_a_pull_that_was_killed_stops_for_files_that_came_since(project, source, tmp_path):
    set_data(project, str(source))
    (project / ".dvc" / "tmp" / "data.pulling").touch()
    (project / "data" / "mine.jsonl").write_text('{"mine": 1}\n')
    with pytest.raises(DataError, match=LOST + r"mine\.jsonl"):
        pull_data(project)


@pytest.mark.parametrize("legacy", [False, True])
def test_an_older_version_that_git_has_stops_nothing_without_a_cache(project, legacy):
    (project / "seed" / "a.jsonl").write_text('{"seed": 2}\n')
    git(project, "commit", "--quiet", "-am", "newer")
    shutil.rmtree(project / ".dvc" / "cache", ignore_errors=True)  # as dvc gc leaves it
    if legacy:
        text = (project / "data.dvc").read_text()
        (project / "data.dvc").write_text(text.replace("  hash: md5\n", ""))
    assert only_here(project) == []
