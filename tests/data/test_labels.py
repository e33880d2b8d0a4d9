"""Who labelled the pairs, as the data says it, down to the statistics that the report reads."""

import pytest

from genarm.data.labels import labelled_by
from genarm.errors import DataError


def test_each_file_is_named_once_and_silence_is_not_an_answer(tmp_path):
    assert labelled_by(tmp_path, ["a.jsonl"]) == []
    (tmp_path / "labels.yaml").write_text("a.jsonl: positive, 3.3\nb.jsonl: positive, 3.3\nc.jsonl: people\n")
    assert labelled_by(tmp_path, ["a.jsonl", "b.jsonl"]) == ["positive, 3.3"]
    assert labelled_by(tmp_path, ["c.jsonl", "x.jsonl"]) == ["people", "not known"]
    assert labelled_by(tmp_path, ["x.jsonl"]) == []


@pytest.mark.parametrize(
    ("text", "told"),
    [("- a.jsonl\n", "a list"), ("a.jsonl: [people]\n", r"a.jsonl: \['people'\]"), ("a: b: c\n", "Error")],
)
def test_a_file_that_says_something_else_is_refused(tmp_path, text, told):
    (tmp_path / "labels.yaml").write_text(text)
    with pytest.raises(DataError, match=rf"data/labels.yaml holds .*{told}"):
        labelled_by(tmp_path, ["a.jsonl"])
