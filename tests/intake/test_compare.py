"""Two versions of a dimension, counted by hand."""

import json

import pytest

from genarm.config import DataConfig, PairsConfig, SourceConfig
from genarm.data.pairs import make_pairs
from genarm.intake.compare import Change, compare


def made(folder, rows, toy):
    folder.mkdir()
    text = "".join(
        json.dumps(dict(zip(("prompt", "chosen", "rejected"), row, strict=True))) + "\n" for row in rows
    )
    (folder / "a.jsonl").write_text(text)
    return make_pairs(folder, "kind", SourceConfig(files="a.jsonl"), PairsConfig(), toy.tokenizer)


def test_pairs_are_added_gone_changed_flipped(toy, tmp_path):
    before = [("a", "x", "y"), ("b", "x", "y"), ("c", "x", "y"), ("d", "x", "y")]
    # a stays, b flips, c has another response, d is gone; e and f are added, f twice, and a row is no pair
    now = [
        ("a", "x", "y"),
        ("b", "y", "x"),
        ("c", "x", "zzz"),
        ("e", "x", "y"),
        ("f", "x", "y"),
        ("f", "x", "y"),
        ("g", "x", "x"),
    ]
    change = compare(made(tmp_path / "old", before, toy), made(tmp_path / "new", now, toy))
    assert (change.rows, change.pairs, change.both) == ((4, 7), (4, 5), 2)
    assert (change.added, change.gone, change.changed, change.flipped) == (2, 1, 1, 1)
    assert change.duplicates == (0, 1 / 7) and change.refused == pytest.approx((0, 1 / 7), abs=1e-6)
    assert change.chosen == (2, 2)  # one letter and the end of the turn
    assert change.rejected == (2, 2.4)  # of five pairs one has three letters
    assert change.row()["rejected tokens"] == "2 -> 2.4"


def change_of(**values) -> Change:
    same = dict.fromkeys(("duplicates", "refused"), (0.1, 0.1)) | dict.fromkeys(
        ("prompt", "chosen", "rejected"), (10, 10)
    )
    counts = {
        "rows": (110, 110),
        "pairs": (100, 100),
        "both": 100,
        "added": 0,
        "gone": 0,
        "changed": 0,
        "flipped": 0,
    }
    return Change("kind", **(counts | same | values))


@pytest.mark.parametrize(
    ("just", "beyond", "says"),
    [
        ({"gone": 10}, {"gone": 11}, "11 of 100 pairs are gone (11.0%), data.max_lost is 10.0%"),
        ({"flipped": 2}, {"flipped": 3}, "3 of 100 known pairs prefer the other response now"),
        ({"duplicates": (0.1, 0.2)}, {"duplicates": (0.1, 0.21)}, "duplicates rose from 10.0% to 21.0%"),
        ({"refused": (0.1, 0.12)}, {"refused": (0.1, 0.13)}, "data.max_refused_rise = 2.0%"),
        ({"chosen": (10, 15)}, {"chosen": (10, 15.1)}, "chosen has 15.1 tokens in the mean, before 10"),
        ({"prompt": (15, 10)}, {"prompt": (15.1, 10)}, "data.max_drift = 1.5 times"),
    ],
)  # fmt: skip
def test_each_limit_holds_what_is_beyond_it_and_nothing_else(just, beyond, says):
    assert change_of(**just).worse(DataConfig()) == []
    (told,) = change_of(**beyond).worse(DataConfig())
    assert says in told


def test_an_empty_version_before_holds_nothing():
    assert (
        change_of(pairs=(0, 50), both=0, added=50, prompt=(0, 9), chosen=(0, 9), rejected=(0, 9)).worse(
            DataConfig()
        )
        == []
    )
