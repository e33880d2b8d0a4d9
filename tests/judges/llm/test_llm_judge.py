"""The judge against a server: both orders, two ways to read, what is kept and what is told."""

import math
from dataclasses import replace

import pytest
from llm_server import KEY, LlmServer, completion, fenced, prefers_longer

from genarm.config import JudgeConfig
from genarm.errors import JudgeError
from genarm.judges import load_with_origin
from genarm.judges.llm.judge import load_llm_judge
from genarm.types import Message, Prompt, Response


def response(text):
    return Response("p", text, 1, "stop", -1.0, 0.0)


def comparisons(n):
    return [(Prompt((Message("user", f"{i}?"),)), response("long " * 9), response("no")) for i in range(n)]


@pytest.fixture
def server():
    with LlmServer() as started:
        yield started


@pytest.fixture
def judge(server, tmp_path):
    def load(**more):
        config = JudgeConfig(llm={"model": "judge", "base_url": server.url, "criterion": "helpful", **more})
        return load_llm_judge(config.llm, tmp_path)

    return load


def test_both_orders_are_asked_and_read_from_probabilities(server, judge):
    found = judge(price_in=1, price_out=2, concurrency=1)  # so that they come in order
    [(prompt, long, short)] = comparisons(1)
    assert found.compare(prompt, long, short) == pytest.approx(0.6)  # 2 * 0.8 - 1 in both orders
    assert found.compare(prompt, short, long) == pytest.approx(-0.6)
    _, one, other, *more = server.requests  # the first was the trial
    assert not more, "the second comparison is the first one, seen from the other side"
    assert fenced(one)[1:] == fenced(other)[:0:-1] == [long.text, short.text]
    assert {(r["temperature"], r["max_tokens"], r["logprobs"]) for r in server.requests} == {(0, 1, True)}
    assert "judge-2026-01-01 (fp_1) at 127.0.0.1" in found.identity
    assert "log-probabilities, asked by helpful " in found.identity
    assert found.usage.requests == 2
    assert found.usage.dollars == pytest.approx((200 * 1 + 2 * 2) / 1e6)


def without_logprobs(number, request):
    if request.get("logprobs"):
        return replace(completion(), status=400, body={"error": {"message": "logprobs is not supported"}})
    return prefers_longer(number, request)


def ignores_logprobs(number, request):
    return prefers_longer(number, request | {"logprobs": False})


@pytest.mark.parametrize("behave", [without_logprobs, ignores_logprobs])
def test_without_log_probabilities_the_text_is_read(behave, server, judge):
    server.behave = behave
    found = judge()
    assert found.settled.form == "text"
    assert found.compare(*comparisons(1)[0]) == 1.0
    assert "read from the text" in found.identity
    with pytest.raises(JudgeError) as error:
        judge(verdict="logprobs")
    assert "verdict: text" in error.value.hint


def test_bad_judges_are_told(server, judge, caplog):
    """One that says A, one that cannot decide, one whose log-probabilities are no numbers."""
    for tops, said, told in (
        ({"A": -0.01, "B": -5.0}, 0.0, "goes by position"),
        ({"A": -0.7, "B": -0.7}, 0.0, "every comparison that could be read is a tie"),
        ({"A": math.nan, "B": math.nan}, None, "12 of 12 comparisons could not be read"),
    ):
        server.behave = lambda *_, tops=tops, told=told: completion("A", tops, model=f"judge: {told}")
        caplog.clear()
        found = judge(verdict="logprobs")
        found.prepare(comparisons(12))
        assert [found.compare(*comparison) for comparison in comparisons(12)] == [said] * 12
        assert told in caplog.text
    assert found.statistics.unreadable == 12


def test_answers_are_kept_on_disk_for_the_same_model_alone(server, judge):
    judge().prepare(comparisons(5))
    again = judge()
    again.prepare(comparisons(6))
    assert len(server.requests) == 2 + 2 * 6  # two trials, each comparison once in each order
    assert (again.usage.requests, again.usage.cached) == (2, 10)
    server.requests.clear()
    for changed in ({"model": "judge-2027"}, {"system_fingerprint": "fp_2"}):
        server.behave = lambda n, r, changed=changed: replace(
            prefers_longer(n, r), body=prefers_longer(n, r).body | changed
        )
        judge().prepare(comparisons(5))
    assert len(server.requests) == 2 * (1 + 10)
    judge(max_tokens=9, verdict="text").prepare(comparisons(1))
    judge(max_tokens=8, verdict="text").prepare(comparisons(1))
    judge(criterion="kindness").prepare(comparisons(1))
    assert len(server.requests) == 2 * (1 + 10) + 3 * (1 + 2)


def test_another_model_behind_the_name_is_not_mixed_in(server, judge, caplog):
    def changes(field):
        return lambda n, r: replace(
            prefers_longer(n, r), body=prefers_longer(n, r).body | ({field: "other"} if n > 5 else {})
        )

    server.behave = changes("system_fingerprint")
    judge(concurrency=1).prepare(comparisons(4))
    assert "changed from fp_1 to other while it judged" in caplog.text
    server.requests.clear()
    server.behave = changes("model")
    with pytest.raises(JudgeError, match="as 'judge-2026-01-01' at first, and now as 'other'"):
        judge(criterion="plain").prepare(comparisons(9))


def test_equal_responses_are_a_tie_without_a_request(server, judge):
    prompt, long, _ = comparisons(1)[0]
    found = judge()
    assert found.compare(prompt, long, replace(long, tokens=2)) == 0.0
    assert len(server.requests) == 1
    assert found.statistics.comparisons == 0


def test_texts_that_a_filter_refuses_cannot_be_read(server, judge):
    def filters(number, request):
        if "3?" in fenced(request)[0]:
            return replace(completion(), status=400, body={"error": {"code": "content_filter"}})
        return prefers_longer(number, request)

    server.behave = filters
    found = judge()
    found.prepare(comparisons(5))
    said = [found.compare(*comparison) for comparison in comparisons(5)]
    assert said.index(None) == 3
    assert said.count(None) == 1


@pytest.mark.parametrize(
    ("reply", "tops", "told"),
    [
        (f"Both\nare fine. {KEY} " + "x" * 200, None, "is 'Both are fine. *** xxx"),
        (f"The key is {KEY[:12]}", None, "is 'The key is ***'"),  # cut by max_tokens
        ("", None, "is empty: a filter refused the texts, or max_tokens was used up"),
        ("I", {"I": -0.1, " The": -3.0}, "is one of the tokens 'I', 'The'"),
    ],
)
def test_what_could_not_be_read_is_told_in_a_line_without_the_key(
    reply, tops, told, server, judge, caplog, monkeypatch
):
    monkeypatch.setenv("JUDGE_KEY_OF_A_TEST", KEY)
    server.behave = lambda *_: completion(reply, tops)
    found = judge(key="JUDGE_KEY_OF_A_TEST", verdict="logprobs" if tops else "text")
    found.prepare(comparisons(12))
    [line] = [r.getMessage() for r in caplog.records if "could not be read" in r.getMessage()]
    assert f"12 of 12 comparisons could not be read; the first such answer {told}" in line
    assert len(line) < 250 and KEY[:6] not in line and "\n" not in line
    assert found.statistics.example in line


def test_it_is_loaded_with_its_template_as_a_file(server, tmp_path):
    (tmp_path / "mine.jinja").write_text("{{ prompt }} {{ a }} {{ b }}")
    config = JudgeConfig(llm={"model": "judge", "base_url": server.url, "template": "mine.jinja"})
    loaded = load_with_origin(config, tmp_path)
    assert loaded.files == [tmp_path / "mine.jinja"]
    assert "asked by mine.jinja" in loaded.identity
