"""Judges on pairs, in both orders: a scorer, a judge of one's own, a language model behind a server."""

import math

import pytest
from llm_server import LlmServer, completion

from genarm.config import JudgeConfig
from genarm.judges import ScoreJudge, by_text, load_with_origin
from genarm.judges.pairs import in_both_orders
from genarm.judges.statistics import Games
from genarm.types import Message, PreferencePair, Prompt

PAIRS = [
    PreferencePair(Prompt((Message("user", f"{i}?"),)), chosen, rejected)
    for i, (chosen, rejected) in enumerate([("a longer one", "short"), ("short", "a longer one"), ("b", "c")])
]


class LeftMargin:
    """Likes the first response by as much as the second one is shorter, and always a little more."""

    def compare(self, prompt, left, right):
        return 0.1 + (len(left.text) > len(right.text)) / 2


def test_a_scorer_says_the_opposite_the_second_time():
    said = in_both_orders(ScoreJudge(by_text(lambda text: float(len(text)))), PAIRS)
    assert said == [Games(1.0, 1.0), Games(-1.0, -1.0), Games(0.0, 0.0)]


def test_a_judge_of_ones_own_is_asked_twice():
    """0.6 for the longer one where it is first, 0.1 for the shorter one: seen from the left, 0.6 and -0.1."""
    first, second, equal = in_both_orders(LeftMargin(), PAIRS)
    assert (first, second, equal) == (Games(0.6, -0.1), Games(0.1, -0.6), Games(0.1, -0.1))


def test_a_language_model_is_asked_once_in_each_order(tmp_path):
    with LlmServer() as server:
        config = JudgeConfig(llm={"model": "judge", "base_url": server.url, "criterion": "helpful"})
        judge = load_with_origin(config, tmp_path).judge
        trials = len(server.requests)
        said = in_both_orders(judge, PAIRS)
        assert said[0].preference == pytest.approx(0.6)
        assert said[1].preference == pytest.approx(-0.6)
        assert len(server.requests) - trials == 6, "two orders of three pairs"
        server.behave = lambda number, request: completion("A", {"A": math.log(0.9), "B": math.log(0.1)})
        config = JudgeConfig(llm={"model": "other", "base_url": server.url, "criterion": "helpful"})
        by_position = in_both_orders(load_with_origin(config, tmp_path / "b").judge, PAIRS)
        assert [g.consistent for g in by_position] == [False] * 3 and by_position[0].preference == 0
