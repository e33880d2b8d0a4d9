"""Files of prompts without responses: the two forms of a row, and what is refused."""

import json
import re

import pytest

from genarm.data.prompts import read_prompts
from genarm.errors import DataError
from genarm.types import Message, Prompt

USER = {"role": "user", "content": "Why?"}


def written(tmp_path, *rows: object):
    path = tmp_path / "more.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_text_or_messages(tmp_path):
    turns = [USER, {"role": "assistant", "content": "So."}, {"role": "user", "content": "And? "}]
    found = read_prompts(written(tmp_path, {"prompt": " Why? "}, {"prompt": turns}), "more.jsonl")
    assert found[0] == Prompt((Message("user", "Why?"),))
    assert [m.role for m in found[1].messages] == ["user", "assistant", "user"]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"text": "Why?"}, "row 2: no key 'prompt'"),
        ({"prompt": ""}, "row 2: empty turn"),
        ({"prompt": [USER, {"role": "assistant", "content": "So."}]}, "row 2: two turns of one speaker"),
        ({"prompt": 3}, "row 2: 'prompt' is neither text nor messages"),
        ("Why?", "row 2: not a JSON object"),
    ],
)
def test_a_row_that_is_no_prompt_is_named(tmp_path, row, said):
    with pytest.raises(DataError, match=re.escape(f"more.jsonl, {said}")):
        read_prompts(written(tmp_path, {"prompt": "How?"}, row), "more.jsonl")


def test_a_file_that_is_not_there_or_holds_nothing(tmp_path):
    with pytest.raises(DataError, match=r"there is no file more.jsonl"):
        read_prompts(tmp_path / "more.jsonl", "more.jsonl")
    with pytest.raises(DataError, match=r"more.jsonl holds no prompt"):
        read_prompts(written(tmp_path), "more.jsonl")
    with pytest.raises(DataError, match=r"more.csv is no .jsonl file"):
        (tmp_path / "more.csv").write_text("prompt\n")
        read_prompts(tmp_path / "more.csv", "more.csv")
