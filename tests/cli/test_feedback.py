"""`genarm feedback`: how votes stand, the pairs of them, and erasure, as people and as machines read them."""

import json

import pytest
from feedback_toys import Desk


@pytest.fixture
def desk(project):
    with (project / "params.yaml").open("a") as params:
        params.write("\nfeedback: {store: f.db, max_share: 1}\n")
    made = Desk(project)
    for i in range(4):
        made.vote(f"i{i}", user=f"u{i % 2}", choice="a" if i < 3 else "tie", dimension="length")
    yield made
    made.store.close()


def test_how_votes_stand(run, desk):
    code, out, _ = run("feedback", "status")
    assert code == 0
    assert out.splitlines()[0] == (
        "length: 1.00 [0.44, 1.00] prefer the guided response (n = 3); 4 votes of 2 users, 1 ties, "
        "4 with consent, 0 open; the most of one user: 50%"
    )
    assert "brief: no vote that is no tie; 0 votes" in out
    assert json.loads(run("feedback", "status", "--json")[1])[0]["guided_share"] == 1


def test_pairs_are_written_and_what_is_left_out_is_told(run, desk, project):
    code, out, _ = run("feedback", "export", "--dimension", "length")
    assert (code, out) == (0, "length-feedback.jsonl: length: 3 pairs of 4 votes; left out: 1 ties\n")
    assert len((project / "length-feedback.jsonl").read_text().splitlines()) == 3
    out = run("feedback", "export", "--dimension", "length", "--to", "o.jsonl", "--json")[1]
    assert json.loads(out) == {"dimension": "length", "votes": 4, "pairs": 3, "left_out": {"ties": 1}}
    assert "did you mean 'length'" in run("feedback", "export", "--dimension", "lenght")[2]


def test_a_user_is_erased(run, desk):
    assert json.loads(run("feedback", "erase", "u1", "--json")[1]) == {"deleted": 2}
    code, out, err = run("feedback", "erase", "u1")
    assert code == 0 and "deleted: 0" in out and "nothing was kept of such a user" in err
    assert desk.store.mark("length") == (2, 3)


def test_without_a_store_the_way_out_is_told(run):
    code, _, err = run("feedback", "status")
    assert code == 1 and "feedback: {store: feedback.db}" in err
