"""Data replaced by any source: the same files give the same version, and nothing is lost where it fails."""

import shutil
from pathlib import Path

import pytest
from dvc_project import git

from genarm.data.dvc import data_version, set_data
from genarm.errors import DataError

SECRET = "s3cr3t"


@pytest.mark.slow
def test_the_same_files_are_the_same_version_from_anywhere(clone, source, web):
    folder, address = web
    pointer, versions, texts = clone / "data.dvc", [], []
    shutil.copy(source / "a.jsonl", folder)
    url = f"{address}/a.jsonl?signature={SECRET}"
    for given in (str(source / "a.jsonl"), str(source / "*.jsonl"), url):
        versions.append(set_data(clone, given))
        texts.append(pointer.read_bytes())
        assert [f.name for f in (clone / "data").iterdir()] == ["a.jsonl"]
    assert len(set(versions)) == len(set(texts)) == 1
    assert versions[0] == data_version(clone)
    back = set_data(clone, str(clone / "seed"))
    assert back != versions[0]
    assert git(clone, "status", "--porcelain") == ""  # the embedded default again, to the byte
    assert not list((clone / ".cache").iterdir())


@pytest.mark.parametrize(
    ("given", "error", "says"),
    [
        ("nowhere.jsonl", DataError, "no file at 'nowhere.jsonl'"),
        ("{source}/empty", DataError, "no file at"),
        ("{source}/*/b.jsonl", DataError, "would both be b.jsonl"),
        ("{source}/one/notes.txt", DataError, "holds no data file"),
        ("{address}/absent.jsonl?signature=s3cr3t", DataError, "nothing there"),
        ("http://me:s3cr3t@example.org/a.jsonl", DataError, "carries a user name or password"),
        ("HTTPS://me:s3cr3t@example.org/a.jsonl", DataError, "carries a user name or password"),
        ("gs://bucket/folder", DataError, "pip install dvc-gs"),
        ("hf://team/birds", DataError, "names no revision"),
        ("hf://birds@v1", DataError, "names no data set"),
    ],
)
def test_a_source_that_fails_leaves_the_data_as_it_was(clone, source, web, given, error, says):
    for name in ("one", "two", "empty"):
        (source / name).mkdir()
    for name in ("one/b.jsonl", "two/b.jsonl", "one/notes.txt"):
        (source / name).touch()
    (clone / "data").mkdir()
    (clone / "data" / "mine.jsonl").write_text("{}\n")
    with pytest.raises(error, match=says) as caught:
        set_data(clone, given.format(source=source, address=web[1]))
    assert SECRET not in str(caught.value)
    assert [f.name for f in (clone / "data").iterdir()] == ["mine.jsonl"]
    assert git(clone, "status", "--porcelain") == ""


def test_data_that_the_check_refuses_never_gets_there(clone, source):
    def refuse(folder: Path) -> None:
        assert (folder / "a.jsonl").is_file()
        raise DataError("too few pairs")

    with pytest.raises(DataError, match="too few"):
        set_data(clone, str(source), refuse)
    assert not (clone / "data").exists() and git(clone, "status", "--porcelain") == ""
