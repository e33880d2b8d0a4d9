"""What DVC recorded, read from its files: whole, cut short at any byte, left by a merge, half written."""

import subprocess
import sys
import threading
import time

import pytest
from dvc_project import LOCK, POINTER

from genarm.data.dvc import status
from genarm.data.dvc_lock import read_pointer, read_records
from genarm.errors import DataError


@pytest.fixture
def root(tmp_path):
    (tmp_path / "data.dvc").write_text(POINTER)
    (tmp_path / "dvc.lock").write_text(LOCK)
    return tmp_path


def test_what_stands_behind_a_path_is_found_back_to_the_data(root):
    records = read_records(root)
    behind = records.behind(["artifacts/arms/kind/arm.json"])
    assert [record.path for record in behind] == ["data", "artifacts/pairs", "artifacts/arms/kind"]
    assert [record.path for record in records.behind(["artifacts/pairs/prompts.jsonl"])] == [
        "data",
        "artifacts/pairs",
    ]
    assert [entry.path for entry in records.read_by("pairs")] == ["data"]  # its code has no stage
    assert records.parameters["pairs"] == {"params.yaml": {"dimensions": ["kind"]}}


def test_a_stage_that_is_no_more_says_nothing(root):
    """The file of its dimension may be gone, and another stage may write where it wrote."""
    (root / "dvc.yaml").write_text(
        "stages: {pairs: {foreach: '${dimensions}', do: {}}, train: {matrix: {dim: '${dimensions}'}}, a: {}}"
    )
    assert len(read_records(root).outputs) == 3, "without parameters nothing is known to be gone"
    (root / "params.yaml").write_text("dimensions: {kind: {}, curt: {}}")
    assert [record.stage for record in read_records(root).outputs] == ["data.dvc", "train@kind"]
    (root / "params.yaml").write_text("dimensions: {curt: {}}")
    assert [record.stage for record in read_records(root).outputs] == ["data.dvc"]


def test_the_object_of_a_record_lies_where_the_version_of_dvc_puts_it(root):
    pairs, arm = read_records(root).outputs[1:]
    assert pairs.object == "files/md5/21/23456789abcdef0123456789abcdef.dir"
    assert arm.object == "41/23456789abcdef0123456789abcdef.dir" and arm.algorithm == "md5-dos2unix"


def test_cut_short_at_any_byte_it_is_told_or_holds_less(root, monkeypatch):
    monkeypatch.setattr("genarm.data.dvc_lock.PAUSE", 0)
    hashes = {r.path: r.md5.removesuffix(".dir") for r in read_records(root).outputs}
    for length in range(len(LOCK)):
        (root / "dvc.lock").write_text(LOCK[:length])
        try:
            records = read_records(root)
        except DataError as error:
            assert error.message.startswith("dvc.lock ") and "git restore dvc.lock" in error.hint
        else:
            assert {r.path: r.md5.removesuffix(".dir") for r in records.outputs}.items() <= hashes.items()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"<<<<<<< HEAD\n" + LOCK.encode(), "line 1 is a conflict marker"),
        (b"\xff\xfe" + LOCK.encode(), "utf-8"),
        (b"", "empty"),
        (b"- a\n", "no mapping"),
        (b"stages: []\n", "names no stages"),
        (LOCK.replace("2123456789abcdef", "212345678gabcdef").encode(), "artifacts/pairs: '212.*' is no md5"),
        (LOCK.replace("path: artifacts/pairs\n", "\n").encode(), "without a path"),
    ],
)
def test_a_damaged_record_is_named_with_the_way_out(root, content, told, monkeypatch):
    monkeypatch.setattr("genarm.data.dvc_lock.PAUSE", 0)
    (root / "dvc.lock").write_bytes(content)
    with pytest.raises(DataError, match=f"dvc.lock .*{told}.*git restore dvc.lock.*rm dvc.lock"):
        read_records(root)
    (root / "dvc.lock").write_text(LOCK)
    (root / "data.dvc").write_text(POINTER.replace("0123456789abcdef.dir", ""))
    with pytest.raises(DataError, match="data.dvc .*is no md5.*git restore data.dvc"):
        read_pointer(root)


def test_a_record_that_dvc_is_writing_is_waited_for(root):
    (root / "dvc.lock").write_text(LOCK[:-20])
    later = threading.Timer(0.2, (root / "dvc.lock").write_text, [LOCK])
    (root / "dvc.lock").write_text("stages: [")
    later.start()
    assert len(read_records(root).outputs) == 3
    later.join()


def test_before_the_first_run_there_is_no_record(tmp_path):
    assert read_records(tmp_path) is None and read_pointer(tmp_path) is None


@pytest.mark.slow
def test_a_damaged_lock_stops_a_run_at_once_and_its_way_out_works(project):
    assert status(project).keys() == {"count", "broken"}
    subprocess.run(
        [sys.executable, "-m", "dvc", "repro", "count"], cwd=project, check=True, capture_output=True
    )
    lock = project / "dvc.lock"
    lock.write_text(lock.read_text()[:-60] + "\n<<<<<<< ours\n")
    started = time.monotonic()
    with pytest.raises(DataError, match="dvc.lock is not valid YAML.*rm dvc.lock: the next run takes"):
        status(project)
    assert time.monotonic() - started < 5
    lock.write_text("schema: '2.0'\nstages:\n  count: [1]\n")  # YAML, but nothing that DVC wrote
    with pytest.raises(DataError, match="dvc.lock .*the entry of count is cut short"):
        status(project)
    lock.unlink()
    done = subprocess.run(
        [sys.executable, "-m", "dvc", "repro", "count"],
        cwd=project,
        check=True,
        capture_output=True,
        text=True,
    )
    assert "is cached - skipping run" in done.stdout
