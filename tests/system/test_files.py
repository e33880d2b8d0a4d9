"""Files that are read back: what was written comes back, and damage is told by file and row."""

import pytest

from genarm.errors import DataError
from genarm.system.files import read_curves, read_rows, write_curves, write_rows
from genarm.types import Message

ROWS = [{"step": 1.0, "loss": 0.5}, {"step": 2.0, "eval/loss": 0.25}]


def test_curves_come_back_with_what_each_row_had(tmp_path):
    write_curves(tmp_path / "curves.csv", ROWS)
    assert read_curves(tmp_path / "curves.csv") == ROWS
    write_curves(tmp_path / "none.csv", [])
    assert read_curves(tmp_path / "none.csv") == []


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "row 1: the file was cut short"),
        (b"step,loss\n1,0.5\n2,0", "row 3: the file was cut short"),
        (b"step,loss\n1,0.5\n2\n", "row 3: it has another number of cells"),
        (b"step,loss\n1,0.5,7\n", "row 2: it has another number of cells"),
        (b"step,loss\n1,good\n", "row 2: could not convert string to float: 'good'"),
        (b"step,loss\n1,\xff\n", "row 2: it is not UTF-8"),
        (b"step,loss\n1,\x00\n", "row 2: "),
        (b'step,loss\n1,"0.5\n', "unexpected end of data"),
        (b"setp,loss\n1,0.5\n", "row 1: the header names no column 'step'"),
    ],
)
def test_damaged_curves_are_told_by_file_and_row(content, told, tmp_path):
    path = tmp_path / "curves.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match="curves.csv, ") as caught:
        read_curves(path)
    assert told in caught.value.message and caught.value.hint


def test_rows_that_are_no_utf8_are_told_by_file_and_row(tmp_path):
    path, rows = tmp_path / "rows.jsonl", [Message("user", "one"), Message("user", "ünø")]
    write_rows(path, rows)
    assert read_rows(path, Message) == rows
    path.write_bytes(path.read_bytes().replace("ü".encode(), b"\xfc"))
    with pytest.raises(DataError, match="rows.jsonl, row 2: "):
        read_rows(path, Message)


def test_a_folder_in_the_place_of_a_file_is_named(tmp_path):
    (tmp_path / "rows.jsonl").mkdir()
    for read in (lambda path: read_rows(path, Message), read_curves):
        with pytest.raises(DataError, match="rows.jsonl is no file"):
            read(tmp_path / "rows.jsonl")
