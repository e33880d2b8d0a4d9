"""Ctrl-C while it judges, and a judge that is used where an event loop runs already."""

import asyncio
import os
import signal
import sqlite3

import pytest
from llm_server import LlmServer, prefers_longer

from genarm.config.judge import LlmJudgeConfig
from genarm.judges.llm.judge import load_llm_judge
from genarm.system.layout import Layout
from genarm.types import Message, Prompt, Response


def comparisons(n):
    long, short = (Response("p", text, 1, "stop", -1.0, 0.0) for text in ("long " * 9, "no"))
    return [(Prompt((Message("user", f"{i}?"),)), long, short) for i in range(n)]


@pytest.fixture
def heeds_ctrl_c():
    """A process that was started in the background ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heeds_ctrl_c")
def test_ctrl_c_leaves_what_was_answered(tmp_path):
    def interrupts(number, request):
        if number == 9:
            os.kill(os.getpid(), signal.SIGINT)
        return prefers_longer(number, request)

    with LlmServer(interrupts) as server:
        config = LlmJudgeConfig(model="judge", base_url=server.url, concurrency=2)
        with pytest.raises(KeyboardInterrupt):
            load_llm_judge(config, tmp_path).prepare(comparisons(50))
        rows = sqlite3.connect(Layout(tmp_path).judge_replies)
        assert rows.execute("pragma integrity_check").fetchone() == ("ok",)
        [kept] = rows.execute("select count(*) from replies").fetchone()
        rows.close()
        assert 6 <= kept < 100
        again = load_llm_judge(config, tmp_path)
        again.prepare(comparisons(50))
        assert (again.usage.cached, again.usage.requests) == (kept, 100 - kept)


def test_it_judges_where_an_event_loop_runs():
    async def as_in_a_notebook(url):
        return load_llm_judge(LlmJudgeConfig(model="judge", base_url=url)).compare(*comparisons(1)[0])

    with LlmServer() as server:
        assert asyncio.run(as_in_a_notebook(server.url)) == pytest.approx(0.6)
