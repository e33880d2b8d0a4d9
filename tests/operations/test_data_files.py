"""Which files belong to which dimension, and the glob that names them and no others."""

import re

import pytest

from genarm.errors import ConfigError, DataError
from genarm.operations.data_files import assigned, check_dimension, dimensions_of, glob_for

BOTH = ["helpful", "harmless"]


@pytest.mark.parametrize(
    ("names", "helpful"),
    [
        (["helpful.jsonl", "harmless.jsonl"], ["helpful.jsonl"]),
        (["Helpful/a.jsonl", "Helpful/b.jsonl", "harmless/a.csv"], ["Helpful/a.jsonl", "Helpful/b.jsonl"]),
        (["x/helpful-1.csv", "x/helpful_2.csv", "x/harmless.json"], ["x/helpful-1.csv", "x/helpful_2.csv"]),
        (["helpful.jsonl", "harmless.jsonl", "more.jsonl"], ["helpful.jsonl"]),
    ],
)  # fmt: skip
def test_a_dimension_has_the_files_that_are_named_after_it(names, helpful):
    assert assigned(names, BOTH)["helpful"] == helpful


def test_the_longer_name_wins():
    names = ["helpful.jsonl", "helpful-base-1.jsonl"]
    assert assigned(names, ["helpful", "helpful-base"]) == {"helpful": names[:1], "helpful-base": names[1:]}


def test_one_dimension_takes_all_files_unless_some_are_named_after_it():
    assert assigned(["a.jsonl", "b/c.jsonl"], ["helpful"]) == {"helpful": ["a.jsonl", "b/c.jsonl"]}
    assert assigned(["a.jsonl", "helpful.jsonl"], ["helpful"]) == {"helpful": ["helpful.jsonl"]}


def test_a_dimension_without_files_is_told_with_the_files_and_how_to_name_them():
    with pytest.raises(
        DataError, match="named after the dimension 'harmless'.*helpful.jsonl, other.csv"
    ) as caught:
        assigned(["helpful.jsonl", "other.csv"], BOTH)
    assert "name its file harmless.jsonl" in caught.value.hint and "a folder harmless/" in caught.value.hint
    with pytest.raises(DataError, match="named after two dimensions, 'helpful' and 'harmless'"):
        assigned(["helpful/harmless.jsonl", "helpful.csv"], BOTH)


@pytest.mark.parametrize(
    ("names", "dimensions"),
    [
        (["anything.jsonl"], ["preference"]),
        (["train-00000-of-00002.parquet", "train-00001-of-00002.parquet", "test.parquet"], ["preference"]),
        (["helpful_train.jsonl", "helpful_test.jsonl", "Harm less.jsonl"], ["helpful", "harm-less"]),
        (["helpful/train.jsonl", "helpful/test.jsonl", "kind.csv"], ["helpful", "kind"]),
        (["data/train.jsonl", "data/test.jsonl"], ["preference"]),
    ],
)
def test_names_suggest_dimensions_where_none_are_given(names, dimensions):
    assert list(dimensions_of(names)) == dimensions


def test_a_name_that_is_no_dimension_is_told_with_one_that_is():
    with pytest.raises(ConfigError, match="'Helpful_2' is no name of a dimension") as caught:
        check_dimension("Helpful_2")
    assert caught.value.hint == "--dimensions helpful-2"
    with pytest.raises(ConfigError, match=re.escape("2024.jsonl would be the dimension '2024', which is no")):
        dimensions_of(["2024.jsonl", "b.jsonl"])


@pytest.mark.parametrize(
    ("files", "others", "pattern"),
    [
        (["helpful.jsonl"], ["x.jsonl"], "helpful.jsonl"),
        (["helpful/a.jsonl", "helpful/b.jsonl"], ["x.jsonl"], "helpful/*.jsonl"),
        (["helpful/a.jsonl", "helpful/in/b.csv"], ["x.csv"], "helpful/**/*"),
        (["helpful/a.jsonl", "helpful/b.csv"], ["helpful/c.xlsx"], None),
        (["helpful-1.csv", "helpful-2.csv"], ["x.csv"], "helpful*.csv"),
        (["x/helpful-1.csv", "y/helpful-2.csv"], ["x/b.csv"], "**/helpful*.csv"),
        (["a.jsonl.gz", "b.jsonl.gz"], ["c.jsonl"], "*.jsonl.gz"),
    ],
)
def test_a_glob_names_these_files_and_no_others(files, others, pattern):
    if pattern is None:
        with pytest.raises(DataError, match="no glob names the files of 'helpful'"):
            glob_for(files, "helpful", [*files, *others])
    else:
        assert glob_for(files, "helpful", [*files, *others]) == pattern
