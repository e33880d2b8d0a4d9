"""What a file holds, told by its first rows: formats, columns of other names, what cannot be guessed."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet

from genarm.data.recognise import ROWS, Recognised, recognise, recognised
from genarm.errors import DataError

ASKED = [{"role": "user", "content": "Why?"}]
ANSWERS = [{"role": "assistant", "content": text} for text in ("So.", "No.")]
PKU = {"prompt": "Why?", "response_0": "So.", "response_1": "No.", "better_response_id": 0}
ULTRA = ("ultrafeedback", {})


def read(folder: Path, row: object) -> Recognised:
    file = folder / "a.jsonl"
    file.write_text((json.dumps(row) + "\n") * (ROWS + 10))
    return recognised(file, "a.jsonl")


@pytest.mark.parametrize(
    ("row", "format", "columns"),
    [
        ({"prompt": "Why?", "chosen": "So.", "rejected": "No."}, "trl", {}),
        ({"chosen": [*ASKED, ANSWERS[0]], "rejected": [*ASKED, ANSWERS[1]]}, "trl", {}),
        ({"prompt": "Human: Why?", "chosen": "So.", "rejected": "No."}, "hh", {}),
        ({"prompt": "Why?", "chosen": [*ASKED, ANSWERS[0]], "rejected": [*ASKED, ANSWERS[1]]}, *ULTRA),
        (PKU, "pku", {}),
        ({"instruction": "Why?", "better": "So.", "worse": "No."}, "trl", ("instruction", "better", "worse")),
        ({"question": "Why?", "good": "So.", "bad": "No."}, "trl", ("question", "good", "bad")),
        ({"query": ASKED, "goodReply": "So.", "badReply": "No."}, "trl", ("query", "goodReply", "badReply")),
        ({"prompt_id": "7", "my_prompt": "a", "y_w": "b", "y_l": "c"}, "trl", ("my_prompt", "y_w", "y_l")),
        ({"prompt": "Why?", "accepted": "So.", "refused": "No."}, "trl", (None, "accepted", "refused")),
        ({"good": [*ASKED, ANSWERS[0]], "bad": [*ASKED, ANSWERS[1]]}, "trl", (None, "good", "bad")),
    ],
)  # fmt: skip
def test_what_a_row_is_and_in_which_columns(row, format, columns, tmp_path):
    if columns:
        named = zip(("prompt", "chosen", "rejected"), columns, strict=True)
        columns = {part: column for part, column in named if column}
    found = read(tmp_path, row)
    assert (found.format, found.columns, found.rows, found.unread) == (format, columns, ROWS, [])


def test_a_system_prompt_is_read_and_other_columns_are_told(tmp_path):
    found = read(
        tmp_path, {"prompt": "Why?", "chosen": "So.", "rejected": "No.", "system_prompt": "x", "mark": 1}
    )
    assert found.columns == {"system": "system_prompt"} and found.unread == ["mark"]


@pytest.mark.parametrize(
    ("row", "why"),
    [
        (
            {"instruction": "a", "input": "b", "chosen": "c", "rejected": "d"},
            "instruction and input could each be",
        ),
        (
            {"prompt": "a", "response_a": "b", "response_b": "c", "winner": "a"},
            "two answers in no order; it has prompt, response_a",
        ),
        ({"instruction": "a", "output": "b"}, "its rows are of no known format; it has instruction, output"),
        (
            {"question": "a", "good": "same", "bad": "same"},
            ".* no known format, chosen equals rejected; it has question",
        ),
        (
            {"prompt": "a", "chosen": "same", "rejected": "same"},
            ".* no known format, chosen equals rejected; it has prompt",
        ),
        ([1, 2], ".* no known format, not a JSON object"),
    ],
)
def test_what_cannot_be_guessed_is_told_with_the_columns(row, why, tmp_path):
    found = read(tmp_path, row)
    assert found.format is None and not found.columns and re.match(why, found.why), found.why


def test_a_file_that_cannot_be_read_is_told_as_one(tmp_path):
    (tmp_path / "a.json").write_text("{")
    (tmp_path / "b.csv").write_text("question;good;bad\na;b;c\n")
    (tmp_path / "c.jsonl").touch()
    told = [recognised(file, file.name) for file in sorted(tmp_path.iterdir())]
    assert told[0].why.startswith("a.json is not JSON")
    assert told[1].hint.startswith("pandas.read_csv('b.csv', sep=';')") and told[2].why == "it has no rows"


def test_the_columns_of_a_source_come_before_those_that_are_found(tmp_path):
    table = {"question": ["a", "b"], "good": ["c", "d"], "bad": ["e", "f"], "topic": ["g", "h"]}
    file = tmp_path / "a.parquet"
    parquet.write_table(pyarrow.table(table), file)
    assert recognise(file, "a").columns["prompt"] == "question"
    given = {"prompt": "topic", "chosen": "bad", "rejected": "good"}
    assert recognise(file, "a", given).columns == given
    with pytest.raises(DataError, match=r"no column 'gud' \(did you mean 'good'"):
        recognise(file, "a", given | {"chosen": "gud"})


def test_nothing_heavy_is_imported():
    code = (
        "import sys, genarm.data.recognise\n"
        "print([m for m in ('torch', 'transformers', 'pyarrow') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"
