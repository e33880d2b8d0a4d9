"""CSV: read as other files are where it is sound, and told where it is not."""

import pytest

from genarm.data.formats import parse
from genarm.data.refused import Refused
from genarm.data.rows import read_file
from genarm.errors import DataError


def read(folder, content: str, encoding: str = "utf-8"):
    (folder / "a.csv").write_bytes(content.encode(encoding))
    return list(read_file(folder / "a.csv", "a.csv"))


def test_a_cell_may_hold_commas_lines_and_any_length(tmp_path):
    long = "x" * 300_000  # the library by itself stops at 128 KiB
    rows = read(tmp_path, f'\ufeffprompt,chosen,rejected\r\n"a, ""b""\nc",{long},no\r\n\r\nq,y,n\r\n')
    assert [row.number for row in rows] == [1, 2]
    pair = parse(rows[0].value)
    assert (pair.prompt.messages[0].content, pair.chosen) == ('a, "b"\nc', long)


def test_a_row_of_another_width_is_refused_alone(tmp_path):
    rows = read(tmp_path, "prompt,chosen,rejected\na,b\na,b,c,d\na,b,c\n")
    reasons = [row.value.reason if isinstance(row.value, Refused) else None for row in rows]
    assert reasons == ["fewer cells than columns", "more cells than columns", None]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("a;b;c\n1;2;3\n", r"one column by commas; ';' seems to.*sep=';'"),
        ("a\tb\n1\t2\n", r"'\\t' seems to separate"),
        ("a,b,a\n1,2,3\n", "two columns 'a'"),
        ('a,b\n1,"2\n', "no CSV that can be read to its end"),
    ],
)
def test_a_file_that_is_no_sound_table_stops_everything(content, told, tmp_path):
    with pytest.raises(DataError, match=f"^a.csv .*{told}"):
        read(tmp_path, content)


def test_another_encoding_is_told(tmp_path):
    with pytest.raises(DataError, match="not UTF-8 at byte"):
        read(tmp_path, "prompt,chosen\né,b\n", encoding="latin-1")
