"""Servers that misbehave: what is asked again, what stops at once, and that no key is ever shown."""

import logging
import sqlite3
import time
from email.utils import formatdate

import pytest
from llm_server import KEY, Answer, LlmServer, completion, prefers_longer

from genarm.config.judge import LlmJudgeConfig
from genarm.errors import JudgeError
from genarm.judges.llm import client
from genarm.judges.llm.judge import load_llm_judge
from genarm.system.layout import Layout
from genarm.types import Message, Prompt, Response


def comparisons(n):
    long, short = (Response("p", text, 1, "stop", -1.0, 0.0) for text in ("long " * 9, "no"))
    return [(Prompt((Message("user", f"{i}?"),)), long, short) for i in range(n)]


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(client, "FIRST_WAIT", 0.0)
    monkeypatch.setattr(client, "JITTER", 0.0)
    monkeypatch.setenv("JUDGE_KEY_OF_A_TEST", KEY)
    with LlmServer() as started:
        yield started


def load(server, root=None, **more):
    settings = {"model": "judge", "base_url": server.url, "key": "JUDGE_KEY_OF_A_TEST", **more}
    return load_llm_judge(LlmJudgeConfig(**settings), root)


def says(status, message="out of order", **more):
    return Answer({"error": {"message": message, **more}}, status)


BUSY = Answer({"error": {"message": "slow down"}}, 429, {"Retry-After": "0"})
MAY_PASS = {
    "429 with Retry-After": BUSY,
    "429 until a time of day": Answer(b"{}", 429, {"Retry-After": formatdate(0, usegmt=True)}),
    "500": says(500),
    "503 without JSON": Answer(b"<html>down</html>", 503, {"Content-Type": "text/html"}),
    "529": says(529),
    "a cut answer": Answer(completion("A", {"A": -0.1}).body, cut=True),
    "a page of a proxy": Answer(b"<html>please log in</html>", 200, {"Content-Type": "text/html"}),
    "half a JSON": Answer(b'{"model": "judge-2026-01-01", "choi'),
    "another JSON": Answer({"result": "A"}),
    "no choices": completion(choices=[]),
    "too slow": Answer(completion("A", {"A": -0.1}).body, delay=4.0),
    "byte by byte": Answer(completion("A", {"A": -0.1}).body, drip=0.05),
}


def patience(failure):
    """How long to wait for an answer, and how often it fails: a slow one takes all that time each time."""
    is_slow = failure.delay or failure.drip
    return (1.0, 1) if is_slow else (30.0, 2)


@pytest.mark.parametrize("failure", MAY_PASS.values(), ids=MAY_PASS)
def test_what_may_pass_is_asked_again(failure, server):
    timeout, failures = patience(failure)
    server.behave = lambda n, request: failure if 2 <= n < 2 + failures else prefers_longer(n, request)
    found = load(server, timeout=timeout, concurrency=1)
    assert found.compare(*comparisons(1)[0]) == pytest.approx(0.6)
    assert found.usage.repeated == failures
    assert len(server.requests) == 1 + failures + 2


@pytest.mark.parametrize("failure", MAY_PASS.values(), ids=MAY_PASS)
def test_what_does_not_pass_is_told_in_the_end(failure, server, tmp_path):
    timeout, tries = patience(failure)
    server.behave = lambda n, request: failure if n > 5 else prefers_longer(n, request)
    with pytest.raises(JudgeError, match="once" if tries == 1 else "2 times") as error:
        load(server, tmp_path, timeout=timeout, concurrency=1, retries=tries - 1).prepare(comparisons(9))
    assert error.value.hint
    assert len(server.requests) == 5 + tries
    rows = sqlite3.connect(Layout(tmp_path).judge_replies)
    assert rows.execute("select count(*) from replies").fetchone() == (4,)
    rows.close()
    server.behave = prefers_longer
    again = load(server, tmp_path)
    again.prepare(comparisons(9))
    assert (again.usage.cached, again.usage.requests) == (4, 14)


STOPS = {
    "400": (says(400, "temperature must be 1"), "temperature must be 1"),
    "401": (says(401, f"Incorrect API key provided: {KEY}"), "JUDGE_KEY_OF_A_TEST"),
    "403": (says(403, "not yours"), "JUDGE_KEY_OF_A_TEST"),
    "404": (says(404, "no model 'judge'"), "/models lists"),
    "no money": (says(429, "pay first", code="insufficient_quota"), "top up"),
    "an hour's wait": (Answer(b"{}", 429, {"Retry-After": "3600"}), "as long as the server asks"),
}


@pytest.mark.parametrize(("failure", "told"), STOPS.values(), ids=STOPS)
def test_what_cannot_pass_stops_at_once(failure, told, server):
    server.behave = lambda *_: failure
    with pytest.raises(JudgeError, match="refuses model 'judge'") as error:
        load(server, verdict="text")
    assert told in str(error.value)
    assert KEY not in str(error.value)
    assert len(server.requests) == 1


def test_a_wait_that_the_server_asks_for_is_kept(server):
    server.behave = lambda n, request: (
        Answer(b"{}", 429, {"Retry-After": "0.4"}) if n == 1 else prefers_longer(n, request)
    )
    began = time.monotonic()
    load(server)
    assert time.monotonic() - began >= 0.4


def test_the_key_is_sent_and_never_shown(server, tmp_path, caplog):
    """Also where the server repeats it in an error that is retried, which stamina would log."""
    caplog.set_level(logging.WARNING)
    server.behave = lambda n, request: says(500, f"bad: {KEY}") if n in (2, 4) else prefers_longer(n, request)
    found = load(server, tmp_path)
    found.prepare(comparisons(12))
    server.behave = lambda *_: says(500, f"bad: {KEY}")
    with pytest.raises(JudgeError, match=r"bad: \*\*\*") as error:
        load(server, tmp_path, retries=0)
    assert server.keys == {f"Bearer {KEY}"}
    shown = caplog.text + str(error.value) + repr(vars(found)) + found.identity
    assert KEY not in shown
    for file in Layout(tmp_path).judge_replies.parent.iterdir():
        assert KEY.encode() not in file.read_bytes()


def test_another_servers_key_is_not_sent(server, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    load(server, key=None)
    assert not any(KEY in key for key in server.keys)


def test_a_key_that_is_not_there_is_named(server, monkeypatch):
    for value, told in ((None, "is not set"), (" ", "is empty"), ("two words", "spaces")):
        monkeypatch.delenv("JUDGE_KEY_OF_A_TEST")
        if value:
            monkeypatch.setenv("JUDGE_KEY_OF_A_TEST", value)
        with pytest.raises(JudgeError, match=f"JUDGE_KEY_OF_A_TEST.*{told}"):
            load(server)
        monkeypatch.setenv("JUDGE_KEY_OF_A_TEST", KEY)
    assert not server.requests


def test_a_package_that_is_not_there_is_named(server, monkeypatch):
    monkeypatch.setattr("genarm.judges.llm.access.NEEDED", ("openai", "no_such_package"))
    with pytest.raises(JudgeError, match="needs the package no_such_package") as error:
        load(server)
    assert error.value.hint == "pip install 'genarm[judges]'"


def test_a_damaged_cache_is_named(server, tmp_path):
    file = Layout(tmp_path).judge_replies
    file.parent.mkdir(parents=True)
    file.write_bytes(b"this is no database" * 100)
    with pytest.raises(JudgeError, match="replies.sqlite cannot be read or written: file is not a database"):
        load(server, tmp_path).prepare(comparisons(1))


def test_connection_refused(monkeypatch):
    monkeypatch.setattr(client, "FIRST_WAIT", 0.0)
    monkeypatch.setattr(client, "JITTER", 0.0)
    config = LlmJudgeConfig(model="judge", base_url="http://127.0.0.1:9/v1", retries=1)
    with pytest.raises(JudgeError, match="http://127.0.0.1:9/v1 cannot be reached, tried 2 times"):
        load_llm_judge(config)
