"""Files that are not what their name says: read where that is certain, else told with what they are."""

import gzip
import json

import pytest

from genarm.config import PairsConfig, SourceConfig
from genarm.data.formats import parse
from genarm.data.pairs import check_pairs, make_pairs
from genarm.data.refused import Refused
from genarm.errors import DataError

ROWS = [{"prompt": f"q{i}", "chosen": "a", "rejected": "b"} for i in range(40)]
LINES = "\n".join(map(json.dumps, ROWS)).encode()
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"


def read(folder, toy, name: str, content: bytes) -> int:
    (folder / name).write_bytes(content)
    result = make_pairs(folder, "kind", SourceConfig(files=name), PairsConfig(), toy.tokenizer)
    check_pairs(result, "quarantine")
    return result.stats.pairs


def test_an_array_may_be_packed_under_any_name(toy, tmp_path):
    assert read(tmp_path, toy, "rows.json", gzip.compress(json.dumps(ROWS).encode())) == 40


@pytest.mark.parametrize(
    ("name", "content", "told", "way_out"),
    [
        ("a.jsonl", LINES.decode().encode("utf-16"), "in UTF-16", "save it in UTF-8"),
        ("a.jsonl", LINES.decode().encode("utf-16-le"), "in UTF-16", "save it in UTF-8"),
        ("a.json", '[{"prompt": "é"}]'.encode("latin-1"), "not UTF-8 at byte 13", "save it in UTF-8"),
        ("a.jsonl", POINTER, "a pointer of Git LFS", "git lfs pull"),
        ("a.parquet", POINTER, "a pointer of Git LFS", "git lfs pull"),
        ("a.json", json.dumps({"data": ROWS}).encode(), "one object that has data", "one object a line"),
        ("a.jsonl", b"\n \n", "'kind' has no rows: a.jsonl is empty", "dimensions.kind.data"),
        ("a.jsonl", json.dumps(ROWS, indent=1).encode(), "not JSON, a .jsonl file holds one object", ""),
        ("a.jsonl", json.dumps(ROWS).encode(), "not a JSON object, but a list", ""),
    ],
)
def test_what_a_file_is_instead_is_told_with_the_way_out(name, content, told, way_out, toy, tmp_path):
    with pytest.raises(DataError) as caught:
        read(tmp_path, toy, name, content)
    assert told in caught.value.message and way_out in caught.value.hint


MESSAGES = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
SAID = [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]
PARTS = [{"role": "user", "content": [{"type": "text", "text": "q"}]}]


@pytest.mark.parametrize(
    ("row", "reason", "detail"),
    [
        ({"chosen": SAID, "rejected": SAID}, "a message of 'chosen' has no 'content'", "has from, value"),
        ({"prompt": PARTS, "chosen": "a", "rejected": "b"}, "a message of 'prompt' has no text", "a list"),
        ({"prompt": "q", "chosen": "a", "rejected": ["b", "c"]}, "a message of 'rejected' is no", "text"),
        ({"prompt": "q", "chosen": MESSAGES[1], "rejected": "b"}, "'chosen' is neither text", "an object"),
        ({"chosen": json.dumps(MESSAGES), "rejected": str(MESSAGES)}, "'chosen' is a list of", "JSON array"),
        ({"prompt": str(MESSAGES), "chosen": "a", "rejected": "b"}, "'prompt' is a list of", "JSON array"),
        ({"prompt": None, "chosen": "a", "rejected": "b"}, "no 'Human:'", "without a prompt both sides"),
        (
            {"prompt": "q", "response_0": "a", "response_1": "b", "safer_response_id": "0"},
            "label safer_response_id is not the number 0 or 1",
            "but text",
        ),
    ],
)
def test_a_row_of_another_shape_is_told_by_what_it_holds(row, reason, detail):
    with pytest.raises(Refused) as caught:
        parse(row, preferred="safer_response_id")
    assert caught.value.reason.startswith(reason) and detail in caught.value.detail


def test_a_response_may_be_a_list_of_messages_in_earnest():
    pair = parse({"prompt": "Write a chat as JSON.", "chosen": json.dumps(MESSAGES), "rejected": "No."})
    assert pair.chosen == json.dumps(MESSAGES)


def test_a_file_that_is_no_data_is_named_below_the_data(toy, tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "pairs.xlsx").write_text("# Data")
    with pytest.raises(DataError, match=r"^docs/pairs.xlsx is no data file") as caught:
        make_pairs(tmp_path, "kind", SourceConfig(files="**/*"), PairsConfig(), toy.tokenizer)
    assert "take it out of the source" in caught.value.hint
