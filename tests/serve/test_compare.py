"""Two responses of which nobody can tell which is guided; a vote that counts once; and what is refused."""

import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import replace

import httpx
import pytest
from feedback_toys import compared
from scipy import stats
from served_toys import HELLO, own, running

from genarm.config import FeedbackConfig
from genarm.feedback.store import Store
from genarm.serve.comparing import revealed, shown
from genarm.serve.keys import Keys, new_key, read_keys
from genarm.serve.service import Service

ASK = "/v1/comparisons"
GOOD = {"prompt": "hello", "dimension": "kind", "user": "u", "consent": True, "max_tokens": 12}


@pytest.fixture(scope="module")
def address(lineup, store):
    with running(Service(lineup, store=store)) as at:
        yield at


def voted(client, made, choice="a", **more):
    return client.post(f"{ASK}/{made['id']}", json={"choice": choice, "user": "u"} | more)


@pytest.mark.parametrize(
    ("asked", "weights"),
    [
        ({}, ({"kind": 0.8, "curt": 0.4}, {"curt": 0.4})),
        ({"against": "base"}, ({"kind": 0.8, "curt": 0.4}, {})),
        ({"against": 0.2}, ({"kind": 0.8, "curt": 0.4}, {"kind": 0.2, "curt": 0.4})),
        ({"dimension": "curt", "weight": 2.0}, ({"kind": 0.8, "curt": 2.0}, {"kind": 0.8})),
    ],
)
def test_both_sides_answer_as_the_decoder_does_and_are_revealed_by_the_vote(client, lineup, asked, weights):
    made = client.post(ASK, json=GOOD | {"temperature": 1} | asked).json()
    told = voted(client, made).json()
    sides = {told[side]["side"]: (made[side]["text"], told[side]) for side in "ab"}
    for (text, side), want in zip((sides["guided"], sides["other"]), weights, strict=True):
        assert side["weights"] == want
        assert side["versions"] == {d: {"kind": 3, "curt": 1}[d] for d in want}
        assert text == own(lineup, weights=want, seed=side["seed"]).text
    assert told["preferred"] == told["a"]["side"]
    assert sides["guided"][1]["seed"] != sides["other"][1]["seed"]


def test_what_is_shown_is_the_same_whichever_side_is_guided():
    """Before the vote: no version, weight, seed or flag; the order is always A, B."""
    asked = compared("0" * 32)
    assert list(shown(asked)) == ["id", "object", "dimension", "created", "expires", "a", "b"]
    assert shown(asked)["a"] == {"text": "yes " + "0" * 32}
    other = replace(asked, guided="b", a=replace(asked.a, seed=1, weights={}, versions={}), base="x" * 50)
    assert shown(other) == shown(asked) and revealed(other, "a") != revealed(asked, "a")


@pytest.mark.parametrize("count", [6, pytest.param(60, marks=pytest.mark.slow)])
def test_sides_are_dealt_by_chance_and_nothing_tells_them(client, count):
    """Of 60, A is guided about half of the time; answers differ in nothing but id, texts and their length."""
    forms, guided = Counter(), 0
    changing = {"content-length", "x-request-id", "date"}
    for i in range(count):
        answer = client.post(ASK, json=GOOD | {"prompt": f"say {i}", "max_tokens": 2})
        made = answer.json()
        headers = tuple((k, "" if k in changing else v) for k, v in answer.headers.items())
        forms[headers, tuple(made), tuple(made["a"]), tuple(made["b"]), len(made["id"])] += 1
        assert type(made["created"]) is type(made["expires"]) is int
        guided += voted(client, made, "tie").json()["a"]["side"] == "guided"
    assert len(forms) == 1
    assert stats.binomtest(guided, count).pvalue > 1e-6


def test_all_of_it_is_kept_and_the_key_is_not(client, store):
    body = {k: v for k, v in GOOD.items() if k != "prompt"} | {
        "user": "kept",
        "messages": HELLO,
        "top_p": 0.5,
    }
    made = client.post(ASK, json=body).json()
    voted(client, made, "tie", user="kept", reason="both are nice")
    *_, vote = store.votes("kind")
    c = vote.comparison
    assert (vote.choice, vote.reason, c.user, c.key, c.consent) == (
        "tie",
        "both are nice",
        "kept",
        "anybody",
        True,
    )
    assert c.prompt == HELLO and (c.a.text, c.b.text) == (made["a"]["text"], made["b"]["text"])
    assert c.sampling == {"temperature": 1.0, "top_p": 0.5, "top_k": 0, "max_tokens": 12}
    assert c.base == "toy" and c.expires - c.created == 24 * 3600


def test_a_second_vote_is_a_409_and_a_late_one_a_410(client, store, monkeypatch):
    made = client.post(ASK, json=GOOD).json()
    assert voted(client, made, user="somebody else").status_code == 404
    assert voted(client, made).status_code == 200
    again = voted(client, made, "b")
    assert again.status_code == 409 and again.json()["error"]["code"] == "already_answered"
    assert "ask for a new one: POST /v1/comparisons" in again.json()["error"]["message"]
    made = client.post(ASK, json=GOOD).json()
    monkeypatch.setattr(store, "clock", lambda: made["expires"] + 2)
    late = voted(client, made)
    assert late.status_code == 410 and late.json()["error"]["code"] == "comparison_expired"


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"dimension": "kimd"}, "dimension"),
        ({"user": ""}, "user"),
        ({"user": "a\x00b"}, "user"),
        ({"consent": "yes"}, "consent"),
        ({"consent": None}, "consent"),
        ({"messages": HELLO}, None),
        ({"prompt": None}, None),
        ({"prompt": None, "messages": [{"role": "system", "content": "x"}]}, None),
        ({"prompt": None, "messages": [*HELLO, {"role": "assistant", "content": "x"}]}, None),
        ({"weight": 0}, "weight"),
        ({"weight": "NaN"}, "weight"),
        ({"against": 0.8}, "against"),
        ({"against": "nobody"}, None),
        ({"seed": 5}, "seed"),
        ({"max_tokens": 5000}, None),
    ],
)
def test_a_field_that_is_wrong_is_named(client, change, param):
    answer = client.post(ASK, json=GOOD | change)
    assert answer.status_code == 400, answer.text
    if param:
        assert answer.json()["error"]["param"] == param


def test_strange_votes_are_refused(client):
    made = client.post(ASK, json=GOOD).json()
    vote = {"choice": "a", "user": "u"}
    wrong = ({"choice": "c"}, {"user": ""}, {"x": 1}, {"reason": "x" * 2001}, {"reason": "\x00"})
    for body in ({}, {"choice": "a"}, *(vote | change for change in wrong)):
        assert client.post(f"{ASK}/{made['id']}", json=body).status_code == 400
    for id in ("x", "0" * 32, "%00", "..%2Fx", "' or 1=1 --"):
        answer = client.post(f"{ASK}/{id}", json=vote)
        assert answer.status_code == 404, id
    assert client.request("DELETE", "/v1/feedback/users/%00").status_code == 400
    assert client.get(ASK).status_code == 405
    assert voted(client, made).status_code == 200


def test_a_user_is_erased_under_their_key_alone(lineup, tmp_path):
    store = Store(FeedbackConfig(store="f.db"), tmp_path)
    keys = {name: new_key(tmp_path / "keys.json", name) for name in ("one", "two")}
    service = Service(lineup, keys=Keys(read_keys(tmp_path / "keys.json")), store=store)
    user = "a/b c@example.org"
    with running(service) as address, httpx.Client(base_url=address, timeout=60) as client:
        one, two = ({"authorization": f"Bearer {key}"} for key in keys.values())
        assert client.post(ASK, json=GOOD).status_code == 401
        made = [client.post(ASK, json=GOOD | {"user": user}, headers=h).json() for h in (one, one, two)]
        path = "/v1/feedback/users/a%2Fb%20c@example.org"
        assert client.delete(path).status_code == 401
        assert client.delete(path, headers=one).json() == {"object": "erasure", "user": user, "deleted": 2}
        assert client.delete(path, headers=one).json()["deleted"] == 0
        vote = {"choice": "b", "user": user}
        assert client.post(f"{ASK}/{made[0]['id']}", json=vote, headers=one).status_code == 404
        assert client.post(f"{ASK}/{made[2]['id']}", json=vote, headers=one).status_code == 404
        assert client.post(f"{ASK}/{made[2]['id']}", json=vote, headers=two).status_code == 200
    store.close()
    data = (tmp_path / "f.db").read_bytes()
    assert b"two" in data
    assert not any(key.encode() in data for key in keys.values())


def test_a_store_that_is_busy_is_a_503(lineup, tmp_path, monkeypatch):
    """Another process holds the write lock for longer than the store waits."""
    monkeypatch.setattr("genarm.feedback.database.SECONDS", 0.1)
    store = Store(FeedbackConfig(store="f.db"), tmp_path)
    service = Service(lineup, store=store)
    with running(service) as address, httpx.Client(base_url=address, timeout=60) as client:
        with closing(sqlite3.connect(tmp_path / "f.db", isolation_level=None)) as other:
            other.execute("begin immediate")
            answer = client.post(ASK, json=GOOD)
        assert answer.status_code == 503 and answer.headers["retry-after"]
        assert answer.json()["error"]["code"] == "store_unavailable"
        assert client.post(ASK, json=GOOD).status_code == 200
    store.close()


def test_nobody_is_asked_where_no_store_is_named(lineup):
    with running(Service(lineup)) as address, httpx.Client(base_url=address) as client:
        assert client.post(ASK, json=GOOD).status_code == 404
        assert client.get("/compare").status_code == 404
        assert "/v1/comparisons" not in client.get("/openapi.json").json()["paths"]


def test_the_schema_tells_the_bodies(client):
    schema = client.get("/openapi.json").json()
    assert {"CompareBody", "VoteBody", "ChatBody"} <= set(schema["components"]["schemas"])
    assert f"{ASK}/{{id}}" in schema["paths"]
