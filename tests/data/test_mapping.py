"""Columns of other names: read in every kind of file, and a misspelt one is told with the nearest."""

import json
import logging
from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet
from pydantic import ValidationError

from genarm.config import ColumnsConfig, PairsConfig, SourceConfig
from genarm.data.mapping import EARLY, ColumnMap
from genarm.data.pairs import make_pairs
from genarm.data.refused import Refused
from genarm.errors import DataError

COLUMNS = {"prompt": "question", "chosen": "good", "rejected": "bad", "system": "persona"}
CONFIG = PairsConfig(max_tokens=400)


def rows(count: int = 20) -> list[dict[str, object]]:
    return [
        {"question": f"Why {i}?", "good": f"So {i}.", "bad": "No.", "persona": "Be kind.", "chosen": 1}
        for i in range(count)
    ]


def write(file: Path, table: list[dict[str, object]]) -> None:
    match file.suffix:
        case ".parquet":
            parquet.write_table(pyarrow.Table.from_pylist(table), file)
        case ".csv":
            lines = [",".join(table[0]), *(",".join(f'"{cell}"' for cell in row.values()) for row in table)]
            file.write_text("\n".join(lines), encoding="utf-8")
        case _:
            file.write_text("".join(json.dumps(row) + "\n" for row in table))


def pairs_of(data: Path, toy, **columns: str):
    source = SourceConfig(files="*", columns=ColumnsConfig(**columns))
    return make_pairs(data, "kind", source, CONFIG, toy.tokenizer)


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.parquet"])
def test_a_pair_is_read_from_the_columns_that_are_named(name, toy, tmp_path, caplog):
    write(tmp_path / name, rows())
    caplog.set_level(logging.WARNING)
    result = pairs_of(tmp_path, toy, **COLUMNS)
    found = {(*(m.content for m in p.prompt.messages), p.chosen) for s in result.splits.values() for p in s}
    assert found == {("Be kind.", f"Why {i}?", f"So {i}.") for i in range(20)}
    assert [r.getMessage() for r in caplog.records] == [f"kind: {name}: columns not read: its own chosen"]


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.parquet"])
@pytest.mark.parametrize(
    ("part", "column", "near"), [("chosen", "gud", "good"), ("system", "person", "persona")]
)
def test_a_misspelt_column_is_told_with_the_nearest_one(name, part, column, near, toy, tmp_path):
    write(tmp_path / name, rows())
    with pytest.raises(DataError, match=f"^{name} has no column '{column}'") as caught:
        pairs_of(tmp_path, toy, **COLUMNS | {part: column})
    assert f"(did you mean '{near}'?), which columns.{part} names" in caught.value.message
    assert caught.value.hint.startswith("it has question, good, bad, persona, chosen; correct")


def test_it_is_told_without_reading_the_file_to_its_end():
    columns, row = ColumnMap({"prompt": "ask"}, "a.jsonl"), {"task": "x"}
    for _ in range(EARLY - 1):
        with pytest.raises(Refused, match="no column 'ask'"):
            columns.row(row)
    with pytest.raises(DataError, match="no column 'ask'"):
        columns.row(row)


def test_one_row_without_its_response_is_refused_alone():
    columns = ColumnMap({"chosen": "good"}, "a.jsonl")
    assert columns.row({"good": "x", "n": 1}) == {"chosen": "x", "n": 1}
    with pytest.raises(Refused) as caught:
        columns.row({"goood": "x"})
    assert caught.value.detail == "for chosen; has goood"
    columns.check()


def test_two_columns_can_change_places():
    swapped = ColumnMap({"chosen": "rejected", "rejected": "chosen"}, "a.jsonl")
    assert swapped.row({"chosen": 1, "rejected": 2}) == {"chosen": 2, "rejected": 1}


def test_one_column_is_one_part():
    with pytest.raises(ValidationError, match="read from one column, 'text'"):
        ColumnsConfig(prompt="text", chosen="text")
