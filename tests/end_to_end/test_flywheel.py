"""What people prefer comes back as data: real servers, real votes, the nightly flow, and a challenger."""

import json
import re
import sqlite3

import httpx
import pytest
from served_process import served
from toy_pipeline import genarm, make_base, make_project, toy_params

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("pipeline")]

USERS, EACH = 12, 5
LONELY = "user-3"


def vote(client: httpx.Client, user: str, number: int) -> str:
    """Ask for two answers, and prefer the one with more of the letter a."""
    asked = {"prompt": f"tell {number}", "dimension": "vowels", "user": user, "consent": True}
    made = client.post("/v1/comparisons", json=asked)
    assert made.status_code == 200, made.text
    a, b = (made.json()[side]["text"].count("a") for side in "ab")
    choice = "a" if a > b else "b" if b > a else "tie"
    told = client.post(f"/v1/comparisons/{made.json()['id']}", json={"choice": choice, "user": user})
    assert told.status_code == 200, told.text
    return str(told.json()["preferred"])


def test_votes_become_a_data_version_that_a_challenger_is_trained_on(tmp_path):
    make_base(tmp_path / "base")
    params, project = toy_params(tmp_path / "base"), tmp_path / "project"
    params["dimensions"]["vowels"]["data"] = {
        "files": "vowels*.jsonl",
        "from": ["seed/vowels.jsonl", "feedback://"],
    }
    params["dimensions"]["vowels"]["weight"] = 20.0
    params["data"] = {"max_drift": 10}  # noise is longer than the seed's "aaaa"
    params["feedback"] = {"store": "votes/feedback.db", "max_speed": 1e9, "max_per_minute": 1000}
    make_project(project, params)
    genarm(project, "refresh")  # nobody voted yet: the seed alone, and the first champions
    pairs = project / "data" / "vowels-feedback.jsonl"
    before = (project / "data.dvc").read_text()
    assert pairs.read_text() == "" and "vowels" in json.loads((project / "mlflow/champions.json").read_text())

    with (
        served(project, tmp_path / "log") as server,
        httpx.Client(base_url=server.address, timeout=60) as client,
    ):
        won = [vote(client, f"user-{i % USERS}", i) for i in range(USERS * EACH)]
    standing = {one["dimension"]: one for one in json.loads(genarm(project, "feedback", "status", "--json"))}
    assert standing["vowels"]["votes"] == len(won) and standing["vowels"]["users"] == USERS
    assert standing["vowels"]["guided_share"] > 0.5  # guided responses have more of the letter

    log = genarm(project, "refresh")
    assert (project / "data.dvc").read_text() != before
    rows = [json.loads(line) for line in pairs.read_text().splitlines()]
    assert 30 <= len(rows) <= len(won) - won.count("tie")
    assert all(row["chosen"].count("a") > row["rejected"].count("a") for row in rows)
    assert not re.search(r"user-\d", pairs.read_text())
    decided = json.loads((project / "artifacts/decisions.json").read_text())["vowels"]
    assert decided["outcome"] in ("promote", "hold", "reject"), log[-3000:]
    stats = json.loads((project / "artifacts/pairs/vowels/stats.json").read_text())
    assert stats["rows"] == 60 + len(rows)

    assert "nothing new" in genarm(project, "refresh", "--no-run")
    mine = 'select id from feedback_comparisons where "user" = ?'
    with sqlite3.connect(project / "votes/feedback.db") as database:
        erased = {id for (id,) in database.execute(mine, (LONELY,))}
    assert len(erased) == EACH
    genarm(project, "feedback", "erase", LONELY)
    genarm(project, "refresh", "--no-run")
    left = {json.loads(line)["comparison_id"] for line in pairs.read_text().splitlines()}
    assert left and not left & erased
