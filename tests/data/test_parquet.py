"""Parquet files with cells that Python cannot represent: unread they stop nothing, read they refuse rows."""

import pyarrow as pa
import pyarrow.parquet
import pytest

from genarm.config import PairsConfig, SourceConfig
from genarm.data.pairs import make_pairs
from genarm.data.rows import read_file
from genarm.errors import DataError

TEXT = {"prompt": ["one", "two"], "chosen": ["yes", "yes"], "rejected": ["no", "no"]}


def not_utf8() -> pa.Array:
    """Two texts, of which the second is not UTF-8."""
    offsets = pa.array([0, 1, 3], pa.int32()).buffers()[1]
    return pa.Array.from_buffers(pa.string(), 2, [None, offsets, pa.py_buffer(b"a\xff\xfe")])


def days(n: int) -> pa.Array:
    return pa.array([n, 0], pa.int32()).cast(pa.date32())


ODD = {
    "invalid UTF-8": not_utf8(),
    "timestamp": pa.array([2**62, 0], pa.timestamp("us")),
    "time zone": pa.array([0, 0], pa.timestamp("us", tz="Mars/Phobos")),
    "date": days(2**31 - 1),
    "duration": pa.array([2**62, 0], pa.duration("s")),
    "nested": pa.array([[{"when": 2**62}], None], pa.list_(pa.struct([("when", pa.timestamp("us"))]))),
}


def written(folder, columns: dict[str, object]):
    pyarrow.parquet.write_table(pa.table(columns), folder / "a.parquet")
    return folder


def make(toy, folder):
    return make_pairs(folder, "kind", SourceConfig(files="*"), PairsConfig(), toy.tokenizer)


@pytest.mark.parametrize("kind", ODD)
def test_an_unused_column_stops_nothing_and_is_told(toy, tmp_path, kind):
    result = make(toy, written(tmp_path, TEXT | {"remark": ODD[kind]}))
    assert (result.stats.pairs, result.refused) == (2, [])
    assert result.stats.unread == {"a.parquet": ["remark"]}


@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("column", ["prompt", "rejected"])
def test_a_used_column_refuses_the_rows_that_it_spoils(toy, tmp_path, kind, column):
    result = make(toy, written(tmp_path, TEXT | {column: ODD[kind]}))
    assert result.stats.rows == 2 and result.stats.pairs + len(result.refused) == 2
    spoilt = [r.row for r in result.refused]
    assert spoilt == ([2] if kind == "invalid UTF-8" else [1, 2])
    if kind == "invalid UTF-8":
        assert (result.refused[0].reason, result.refused[0].detail) == ("not UTF-8", "at byte 0 of a cell")


def test_a_message_with_a_time_of_its_own_is_read_by_its_text(toy, tmp_path):
    message = pa.struct([("role", pa.string()), ("content", pa.string()), ("when", pa.timestamp("us"))])
    asked = [[{"role": "user", "content": text, "when": 2**62}] for text in TEXT["prompt"]]
    result = make(toy, written(tmp_path, TEXT | {"prompt": pa.array(asked, pa.list_(message))}))
    assert result.stats.pairs == 2 and result.refused == []


def test_columns_of_other_names_are_named_in_a_table_too(toy, tmp_path):
    columns = {"question": TEXT["prompt"], "chosen": TEXT["chosen"], "rejected": TEXT["rejected"]}
    for refused in make(toy, written(tmp_path, columns)).refused:
        assert refused.reason == "keys of no known format"
        assert sorted(refused.detail.split(";")[0].removeprefix("has ").split(", ")) == sorted(columns)
    folder = written(tmp_path, {"question": TEXT["prompt"], "answer": TEXT["chosen"]})
    with pytest.raises(DataError, match="a.parquet: keys of no known format; hint: it has question, answer;"):
        make(toy, folder)


def test_two_columns_of_one_name_are_refused(tmp_path):
    table = pa.table([pa.array(["a"]), pa.array(["b"])], names=["prompt", "prompt"])
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(DataError, match="a.parquet has two columns 'prompt'"):
        list(read_file(tmp_path / "a.parquet", "a.parquet"))
