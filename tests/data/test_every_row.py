"""Whatever bytes a data file holds, each of its rows is a pair or in quarantine by name, to the last one."""

import gzip
import json

import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genarm.config import PairsConfig, SourceConfig
from genarm.data.pairs import RefusedRow, make_pairs, write_pairs
from genarm.errors import DataError
from genarm.system.files import read_rows
from genarm.system.layout import Layout

HEAD = "\n\nHuman: Hi\n\nAssistant:"
GOOD = {"prompt": "q", "chosen": "a", "rejected": "b"}
leaves = st.sampled_from(
    [None, True, 0, 1.0, 1, 2.5, float("nan"), 10**400, "", "a", "b", "q", "user", "assistant", "system",
     HEAD, f"{HEAD} a", "\ud800", "\x00", "Human: q", "x" * 5000]
)  # fmt: skip
messages = st.lists(
    st.dictionaries(st.sampled_from(["role", "content", "tool_calls", "n"]), leaves), max_size=3
)
keys = st.sampled_from(
    ["prompt", "chosen", "rejected", "response_0", "response_1", "safer_response_id", "system", "history",
     "tools", "score_chosen", "score_rejected", "question", "id"]
)  # fmt: skip
rows = st.dictionaries(keys, leaves | messages | st.lists(st.lists(leaves, max_size=3), max_size=2))
pairs = st.builds(
    lambda q, a: GOOD | {"prompt": q, "chosen": a}, st.sampled_from("qrst"), st.sampled_from("acd")
)
values = rows | pairs | leaves | st.lists(leaves)
SLOW_SET_UP = settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture
def account(toy, tmp_path):
    """Reads a file, and sees that every row from 1 to the last is accounted for; gives the stats."""

    def read(name: str, content: bytes, numbers: list[int] | None = None):
        data = tmp_path / "data"
        data.mkdir(exist_ok=True)
        for file in data.iterdir():
            file.unlink()
        (data / name).write_bytes(content)
        config = PairsConfig(max_refused=1)
        source = SourceConfig(files="*", preferred="safer_response_id")
        result = make_pairs(data, "kind", source, config, toy.tokenizer)
        stats, refused = result.stats, [r.row for r in result.refused]
        assert stats.rows == stats.pairs + len(refused) == stats.files[name]
        assert sum(map(len, result.splits.values())) == stats.pairs
        assert len(set(refused)) == len(refused) and all(r.reason and r.file == name for r in result.refused)
        assert sum(stats.refused.values()) == len(refused)
        if numbers is not None:
            assert stats.rows == len(numbers) and set(refused) <= set(numbers)
        layout = Layout(tmp_path)
        try:
            write_pairs(layout, result)
        except DataError as error:  # a split is empty, as in most of these files
            assert ("pairs; rows" if stats.rows else "has no rows") in str(error)
        assert read_rows(layout.quarantine("kind"), RefusedRow) == result.refused
        return stats

    return read


def lines(file: bytes) -> list[int]:
    """The numbers of the lines that are not blank."""
    return [n for n, line in enumerate(file.split(b"\n"), start=1) if line.strip()]


@SLOW_SET_UP
@given(found=st.lists(values.map(lambda v: json.dumps(v).encode()) | st.binary(max_size=40), max_size=8))
def test_lines(account, found):
    file = b"\n".join(found)
    if file[:2] != b"\x1f\x8b":  # which would be gzip, cut short
        account("a.jsonl", file, lines(file))
    account("a.jsonl.gz", gzip.compress(file), lines(file))


@SLOW_SET_UP
@given(found=st.lists(pairs | rows, min_size=1, max_size=8), place=st.floats(0, 1), bits=st.integers(1, 255))
def test_lines_with_a_damaged_byte(account, found, place, bits):
    file = bytearray("\n".join(map(json.dumps, found)).encode())
    file[int(place * (len(file) - 1))] ^= bits
    account("a.jsonl", bytes(file), lines(bytes(file)))


@SLOW_SET_UP
@given(found=st.lists(values, max_size=8))
def test_an_array(account, found):
    account("a.json", json.dumps(found).encode(), list(range(1, len(found) + 1)))


@SLOW_SET_UP
@given(
    found=st.lists(pairs | rows, min_size=1, max_size=8),
    place=st.floats(0, 1),
    bits=st.integers(1, 255),
    packed=st.booleans(),
)
def test_a_damaged_file_that_has_no_lines_is_read_to_its_end_or_refused(account, found, place, bits, packed):
    text = "\n".join(map(json.dumps, found)) if packed else json.dumps(found)
    file = bytearray(gzip.compress(text.encode(), mtime=0) if packed else text.encode())
    file[int(place * (len(file) - 1))] ^= bits
    try:
        account("a.jsonl.gz" if packed else "a.json", bytes(file))
    except DataError as error:
        assert "a.json" in str(error)


def table(found: list[dict[str, object]], compression: str) -> bytes:
    sink = pa.BufferOutputStream()
    pyarrow.parquet.write_table(pa.Table.from_pylist(found), sink, compression=compression)
    return sink.getvalue().to_pybytes()


texts = st.sampled_from([None, "", "a", "b", "q", HEAD, f"{HEAD} a", "x" * 5000])
asked = st.none() | st.lists(st.fixed_dictionaries({"role": texts, "content": texts}), max_size=3)
columns = st.fixed_dictionaries(
    {"score_chosen": st.none() | st.integers(0, 3)},
    optional={k: texts for k in ("system", "response_0", "response_1", "question")} | {"tools": asked},
)
cells = st.builds(lambda row, more: row | more, pairs, columns) | columns


@SLOW_SET_UP
@given(found=st.lists(cells, min_size=1, max_size=8))
def test_a_table(account, found):
    account("a.parquet", table(found, "none"), list(range(1, len(found) + 1)))


@SLOW_SET_UP
@given(
    found=st.lists(cells, min_size=1, max_size=8),
    place=st.floats(0, 1),
    bits=st.integers(1, 255),
    compression=st.sampled_from(["none", "snappy"]),
)
def test_a_damaged_table_is_read_to_its_end_or_refused(account, found, place, bits, compression):
    file = bytearray(table(found, compression))
    file[int(place * (len(file) - 1))] ^= bits
    try:
        account("a.parquet", bytes(file))
    except DataError as error:
        assert "a.parquet" in str(error)


@pytest.mark.parametrize("depth", [*range(900, 1000, 7), 5000, 200_000])
def test_rows_nested_to_any_depth(account, depth):
    deep = '{"prompt": "q", "chosen": "a", "rejected": "b", "x": ' + "[" * depth + "]" * depth + "}"
    stats = account("a.jsonl", f"{deep}\n{json.dumps(GOOD)}".encode(), [1, 2])
    assert stats.pairs >= 1 or "duplicate" in stats.refused
    try:
        account("a.json", f"[{deep}, {json.dumps(GOOD)}]".encode(), [1, 2])
    except DataError as error:
        assert "a.json is not JSON: RecursionError" in str(error)


@pytest.mark.parametrize("name", ["a.jsonl", "a.json"])
@pytest.mark.parametrize(
    "row",
    [
        '{"prompt": "q", "prompt": "r", "chosen": "a", "rejected": "b"}',
        '{"prompt": [{"role": "user", "content": "q", "content": "r"}], "chosen": "a", "rejected": "b"}',
        '{"prompt": "q", "chosen": "a", "rejected": "b", "more": [{"prompt": 1, "prompt": 1}]}',
    ],
)
def test_a_key_that_stands_twice_refuses_the_row(account, tmp_path, name, row):
    both = [row, json.dumps(GOOD)]
    text = "\n".join(both) if name == "a.jsonl" else f"[{','.join(both)}]"
    assert account(name, text.encode(), [1, 2]).pairs == 1
    (refused,) = read_rows(Layout(tmp_path).quarantine("kind"), RefusedRow)
    assert (refused.row, refused.reason) == (1, "a key stands twice")
    assert refused.detail == ("content" if "content" in row else "prompt")
