"""The cheap check: what lacks is told before anything is trained, and no answer is paid for."""

import pytest
from llm_server import KEY, Answer, LlmServer

from genarm.config import JudgeConfig
from genarm.errors import JudgeError
from genarm.judges.check import check, own_files


@pytest.fixture
def server():
    with LlmServer() as started:
        yield started


def judge(server, **more):
    return JudgeConfig(llm={"model": "judge", "base_url": server.url, **more})


def test_a_server_that_answers_is_enough(server):
    check(judge(server))
    server.models = Answer(b"not found", 404)  # not every server lists its models
    check(judge(server))
    assert not server.requests, "nothing was asked that costs money"


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
