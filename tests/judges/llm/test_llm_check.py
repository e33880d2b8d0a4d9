"""The cheap check: what lacks is told before anything is trained, and hardly an answer is paid for."""

import pytest
from llm_server import KEY, Answer, LlmServer, completion

from genarm.config import JudgeConfig
from genarm.errors import JudgeError
from genarm.judges.check import check, own_files


@pytest.fixture
def server():
    with LlmServer() as started:
        yield started


def judge(server, **more):
    return JudgeConfig(llm={"model": "judge", "base_url": server.url, **more})


def test_where_the_server_lists_the_model_nothing_is_asked_that_costs_money(server):
    check(judge(server))
    assert not server.requests


@pytest.mark.parametrize(
    ("models", "there"),
    [
        (Answer({"data": [{"id": "judge-mini"}, {"id": "other"}]}), "it has judge-mini, other"),
        (Answer({"data": [{"id": f"m{i}"} for i in range(10)]}), "m6, m7 and 2 more"),
        (Answer(b"not found", 404), "it lists no models"),
        (Answer({"error": {"message": "this key may not list"}}, 403), "it lists no models"),
        (Answer({"data": "junk"}), "it lists no models"),
    ],
)
def test_a_model_that_is_not_listed_is_asked_once_and_a_refusal_names_those_that_are(
    models, there, server, monkeypatch
):
    """Some servers list nothing, and some take names that they do not list: only a refusal is certain."""
    monkeypatch.setenv("JUDGE_KEY_OF_A_TEST", KEY)
    server.models = models
    server.behave = lambda *_: completion("A")
    check(judge(server, key="JUDGE_KEY_OF_A_TEST"))
    assert [request["max_tokens"] for request in server.requests] == [16]
    server.behave = lambda *_: Answer({"error": {"message": f"no model judge for {KEY}"}}, 404)
    with pytest.raises(JudgeError, match="refuses model 'judge'.*: 404 no model judge for") as error:
        check(judge(server, key="JUDGE_KEY_OF_A_TEST"))
    assert there in str(error.value) and "correct `model`" in error.value.hint
    assert KEY not in str(error.value) and "\n" not in str(error.value)


def test_a_server_that_is_busy_or_slow_may_yet_judge(server, monkeypatch):
    monkeypatch.setattr("genarm.judges.llm.check.PATIENCE", 0.2)
    server.models = Answer({"data": []})
    for answer in (Answer(b"", 429), Answer(b"", 503), Answer(delay=0.5)):
        server.behave = lambda *_, answer=answer: answer
        check(judge(server))
    server.behave = lambda *_: Answer(b"", 403)
    with pytest.raises(JudgeError, match="refuses the key: 403"):
        check(judge(server))


def test_a_refused_key_is_told(server, monkeypatch):
    monkeypatch.setenv("JUDGE_KEY_OF_A_TEST", KEY)
    server.models = Answer({"error": {"message": f"no such key: {KEY}"}}, 401)
    with pytest.raises(JudgeError, match="refuses the key: 401") as error:
        check(judge(server, key="JUDGE_KEY_OF_A_TEST"))
    assert "JUDGE_KEY_OF_A_TEST" in error.value.hint
    assert KEY not in str(error.value)
    assert server.keys == {f"Bearer {KEY}"}


def test_a_server_that_is_silent_is_told(server, monkeypatch):
    monkeypatch.setattr("genarm.judges.llm.check.PATIENCE", 0.1)
    server.models = Answer(delay=0.5)
    with pytest.raises(JudgeError, match="does not answer within 0.1 s"):
        check(judge(server))
    gone = JudgeConfig(llm={"model": "judge", "base_url": "http://127.0.0.1:9/v1"})
    with pytest.raises(JudgeError, match="http://127.0.0.1:9/v1 cannot be reached"):
        check(gone)


def test_a_template_and_a_key_are_looked_for_first(server, tmp_path):
    (tmp_path / "mine.jinja").write_text("{{ prompt }} {{ b }}")
    mine = judge(server, template="mine.jinja")
    assert own_files(mine, tmp_path) == [tmp_path / "mine.jinja"]
    assert own_files(judge(server), tmp_path) == []
    with pytest.raises(JudgeError, match="lacks the first answer"):
        check(mine, tmp_path)
    with pytest.raises(JudgeError, match="JUDGE_KEY_OF_A_TEST, which should hold the key"):
        check(judge(server, key="JUDGE_KEY_OF_A_TEST"))


def test_scorers_are_loaded():
    check(JudgeConfig(scorer="positive"))
    with pytest.raises(JudgeError, match="unknown scorer"):
        check(JudgeConfig(scorer="positiv"))
