"""Votes as rows that the project reads, with their provenance and without people; and how they stand."""

import json

import pytest
from feedback_toys import Desk, compared

from genarm.config import FeedbackConfig, PairsConfig, SourceConfig
from genarm.data.pairs import make_pairs
from genarm.feedback.export import export, mark
from genarm.feedback.summary import standing


def test_pairs_are_read_whole_and_name_nobody(desk, tmp_path, toy):
    for i in range(4):
        desk.vote(f"i{i}", user="somebody", choice="ab"[i % 2])
    desk.vote("tie", choice="tie")
    desk.vote("other", dimension="curt")
    (tmp_path / "data").mkdir()
    done = export(desk.store, "kind", tmp_path / "data" / "kind-feedback.jsonl")
    assert (done.votes, done.pairs, done.left_out) == (5, 4, {"ties": 1})
    assert done.told == "kind: 4 pairs of 5 votes; left out: 1 ties"
    text = (tmp_path / "data" / "kind-feedback.jsonl").read_text()
    first, second, *_ = map(json.loads, text.splitlines())
    assert (first["chosen"], first["rejected"]) == ("yes i0", "no i0")
    assert (second["chosen"], second["rejected"]) == ("no i1", "yes i1")
    assert first["chosen_model"] == {
        "base": "toy", "versions": {"kind": 3}, "weights": {"kind": 0.3}, "seed": 7,
        "sampling": {"temperature": 1.0},
    }  # fmt: skip
    assert first["comparison_id"] == "i0" and first["time"] == "2023-11-14T22:14:20+00:00"
    assert "somebody" not in text and "anybody" not in text
    read = make_pairs(tmp_path / "data", "kind", SourceConfig(files="*.jsonl"), PairsConfig(), toy.tokenizer)
    assert read.stats.rows == 4 and not read.refused and not read.stats.unread


def test_an_export_up_to_a_vote_and_its_mark_stay(desk, tmp_path):
    desk.vote("a")
    kept = mark(desk.store, "kind")
    desk.vote("b")
    assert mark(desk.store, "kind") != kept and mark(desk.store, "kind", kept[1]) == kept
    assert export(desk.store, "kind", tmp_path / "o.jsonl", kept[1]).pairs == 1
    stricter = FeedbackConfig(store="f.db", max_share=0.5)
    assert mark(Desk(tmp_path, stricter).store, "kind", kept[1]) != kept
    assert mark(Desk(tmp_path, desk.config.model_copy(update={"expires": 1})).store, "kind", 1) == kept


def test_a_share_that_nobody_can_keep_is_told(tmp_path):
    desk = Desk(tmp_path, FeedbackConfig(store="f.db"))
    for i in range(3):
        desk.vote(f"i{i}", user=f"u{i}")
    done = export(desk.store, "kind", tmp_path / "o.jsonl")
    assert done.pairs == 0 and done.left_out == {"beyond one person's share": 3}
    assert "more people have to vote, or feedback.max_share has to be larger" in done.told


def test_how_votes_stand(desk):
    """8 of 10 votes for the guided side: Wilson's interval by hand, z = 1.96, is 0.490 to 0.943."""
    for i in range(10):
        desk.vote(f"i{i}", user=f"u{i % 2}", choice="a" if i < 8 else "b", consent=i > 0)
    desk.vote("t", user="u0", choice="tie")
    desk.store.ask(compared("open"))
    kind, curt = standing(desk.store, ["kind", "curt"])
    assert (kind.votes, kind.ties, kind.users, kind.consent, kind.open) == (11, 1, 2, 10, 1)
    assert kind.guided_share == 0.8 and kind.top_user_share == 6 / 11
    assert (kind.low, kind.high) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert (curt.votes, curt.guided_share, curt.low, curt.high, curt.top_user_share) == (0, None, 0, 1, 0)
