"""Files that are found and files that are not taken: whatever is left out is told by name."""

import logging
import os

import pytest

from genarm.config import PairsConfig, SourceConfig
from genarm.data.dvc import set_data
from genarm.data.files import find_files
from genarm.data.pairs import make_pairs
from genarm.data.sources import gather_local
from genarm.errors import DataError

NOT_UTF8 = os.fsdecode(b"caf\xe9.jsonl")


@pytest.fixture
def told(caplog):
    """What was logged as a warning, line by line."""
    caplog.set_level(logging.WARNING, "genarm.data")
    return lambda: [record.getMessage() for record in caplog.records]


def write(folder, *names: str):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("{}\n")
    return folder


def below(folder) -> list[str]:
    return sorted(f.relative_to(folder).as_posix() for f in folder.rglob("*") if f.is_file())


def test_a_linked_folder_is_taken_with_its_files(tmp_path, told):
    source = write(tmp_path / "source", "a.jsonl", "in/b.jsonl")
    write(tmp_path / "elsewhere", "c.jsonl", "deep/d.jsonl")
    (source / "more").symlink_to("../elsewhere")
    (source / "in" / "d.jsonl").symlink_to("../../elsewhere/deep/d.jsonl")
    gather_local(str(source), tmp_path / "data")
    assert below(tmp_path / "data") == [
        "a.jsonl",
        "in/b.jsonl",
        "in/d.jsonl",
        "more/c.jsonl",
        "more/deep/d.jsonl",
    ]
    assert not any(f.is_symlink() for f in (tmp_path / "data").rglob("*"))
    assert told() == []


def test_whatever_a_folder_holds_and_is_left_out_is_named(tmp_path, told):
    source = write(tmp_path / "source", "a.jsonl", ".hidden/x.jsonl", ".b.jsonl")
    os.mkfifo(source / "pipe.jsonl")
    (source / "self").symlink_to(".")
    (source / "up").symlink_to("..")
    (source / "gone.jsonl").symlink_to("nothing")
    write(tmp_path / "elsewhere", "c.jsonl")
    for name in ("one", "two"):
        (source / name).symlink_to("../elsewhere")
    gather_local(str(source), tmp_path / "data")
    assert below(tmp_path / "data") == ["a.jsonl", "one/c.jsonl"]
    assert told() == [
        "left out: .b.jsonl, .hidden (its name starts with a dot)",
        "left out: gone.jsonl (a link to nothing)",
        "left out: pipe.jsonl (a pipe, socket or device)",
        "left out: self, two, up (a link to a folder that is taken already)",
    ]


def test_a_name_with_brackets_is_a_name_where_there_is_such_a_file(tmp_path):
    source = write(tmp_path / "source", "a[1].jsonl", "a1.jsonl", "b[x]/c.jsonl")
    gather_local(str(source / "a[1].jsonl"), tmp_path / "one")
    assert below(tmp_path / "one") == ["a[1].jsonl"]
    gather_local(str(source / "b[x]"), tmp_path / "two")
    assert below(tmp_path / "two") == ["c.jsonl"]
    assert [f.name for f in find_files(source, "a[1].jsonl")] == ["a[1].jsonl"]
    assert [f.name for f in find_files(source, "a[12].jsonl")] == ["a1.jsonl"]


def test_a_glob_names_what_it_matches_and_does_not_take(tmp_path, told):
    source = write(tmp_path / "source", "a.jsonl", "part.jsonl/b.jsonl", "empty/notes.txt")
    os.mkfifo(source / "p.jsonl")
    gather_local(str(source / "*"), tmp_path / "data")
    assert below(tmp_path / "data") == ["a.jsonl"]
    assert [line.split(" (")[0] for line in told()] == [
        f"left out: {source}/p.jsonl",
        f"left out: {source}/part.jsonl",
    ]


def test_a_glob_below_data_names_links_folders_and_pipes(tmp_path, told):
    data = write(tmp_path / "data", "a.jsonl", "b/c.jsonl")
    (data / "more").symlink_to(write(tmp_path / "elsewhere", "d.jsonl"))
    assert [f.name for f in find_files(data, "**/*.jsonl")] == ["a.jsonl", "c.jsonl"]
    assert [line.split(" (")[0] for line in told()] == ["not read: more"]
    assert [f.name for f in find_files(data, "*")] == ["a.jsonl"]
    assert any(line.startswith("not read: b") for line in told())
    os.mkfifo(data / "p.jsonl")
    with pytest.raises(DataError, match="p.jsonl is no file: a pipe"):
        find_files(data, "*.jsonl")


def test_a_glob_passes_over_what_is_plainly_no_data(tmp_path, told):
    data = write(tmp_path, "a.jsonl", "README.md", "in/LICENSE", "in/b.csv", ".gitattributes")
    assert [f.name for f in find_files(data, "**/*")] == ["a.jsonl", "b.csv"]
    assert told() == ["not read: .gitattributes, README.md, in/LICENSE (plainly no data)"]
    with pytest.raises(DataError, match="README.md is no data file"):
        find_files(data, "README.md")
    write(tmp_path, "table.xlsx")
    with pytest.raises(DataError, match=r"table.xlsx is no data file.*pandas.read_excel\('table.xlsx'\)"):
        find_files(data, "**/*")


def test_a_name_that_is_not_utf8_is_spelled_out_and_refused(tmp_path):
    source = write(tmp_path / "source", NOT_UTF8)
    for refuse in (
        lambda: find_files(source, "*.jsonl"),
        lambda: gather_local(str(source), tmp_path / "data"),
        lambda: gather_local(str(source / "*"), tmp_path / "data"),
    ):
        with pytest.raises(DataError, match=r"caf\\xe9.jsonl is not UTF-8; hint: rename") as caught:
            refuse()
        str(caught.value).encode()
    with pytest.raises(DataError) as caught:  # a list of what there is can be printed too
        find_files(source, "b.jsonl")
    assert "caf\\xe9.jsonl" in caught.value.hint


def test_a_folder_that_git_tracks_is_refused_where_dvc_would_wait_or_fail(clone, told):
    os.mkfifo(clone / "seed" / "pipe")
    with pytest.raises(DataError, match="pipe is no file"):
        set_data(clone, str(clone / "seed"))
    (clone / "seed" / "pipe").unlink()
    write(clone / "seed", NOT_UTF8)
    with pytest.raises(DataError, match="not UTF-8"):
        set_data(clone, str(clone / "seed"))
    (clone / "seed" / NOT_UTF8).unlink()
    (clone / "seed" / "more").symlink_to(write(clone.parent / "elsewhere", "b.jsonl"))
    set_data(clone, str(clone / "seed"))
    assert not (clone / "data" / "more").exists() and any(t.startswith("not imported: more") for t in told())


def test_a_file_that_cannot_be_copied_is_named(tmp_path, monkeypatch):
    source = write(tmp_path / "source", "a.jsonl")
    write(tmp_path / "data", "a.jsonl/b")  # a folder stands where the file would
    with pytest.raises(DataError, match="a.jsonl cannot be copied: "):
        gather_local(str(source), tmp_path / "data")


def test_a_name_that_looks_like_markup_is_shown_on_a_terminal_as_it_is(toy, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes it for a terminal
    write(tmp_path, "a[/x].jsonl")
    config = PairsConfig()
    make_pairs(tmp_path, "kind", SourceConfig(files="a[/x].jsonl"), config, toy.tokenizer)
    assert "a[/x].jsonl" in capsys.readouterr().err
