"""Seconds for 128 tokens, by a clock that hand-worked methods advance."""

import pytest

from genarm.decoding import GuidedRequest
from genarm.experiments import speed


class Clocked:
    """A method that takes so long for its prompts, and for each token."""

    def __init__(self, clock, prompt, token):
        self.clock, self.prompt, self.token, self.asked = clock, prompt, token, []

    def generate(self, requests):
        self.asked.append((len(requests), requests[0].max_new_tokens))
        self.clock[0] += self.prompt + self.token * requests[0].max_new_tokens


def test_the_prompt_counts_once_whatever_the_length(monkeypatch):
    """Prompt 4 s, 0.5 s a token, a batch of two: (4 + 128 * 0.5) / 2 = 34 s; the base (1 + 12.8) / 2."""
    clock = [0.0]
    monkeypatch.setattr(speed.time, "monotonic", lambda: clock[0])
    own, base = Clocked(clock, 4.0, 0.5), Clocked(clock, 1.0, 0.1)
    for tokens in (8, 48):
        requests = [GuidedRequest((1, 2), max_new_tokens=tokens, ignore_eos=True)] * 2
        mine, theirs = speed.timed(own.generate, base.generate, requests, 3)
        assert mine == pytest.approx([34.0] * 3)
        assert theirs == pytest.approx([6.9] * 3)
    assert base.asked[-7:] == [(2, 12)] + [(2, 12), (2, 48)] * 3  # a warm-up, then both lengths in turn


def test_the_base_is_timed_once_against_itself():
    base = Clocked([0.0], 1.0, 0.1)
    requests = [GuidedRequest((1, 2), max_new_tokens=8, ignore_eos=True)]
    mine, theirs = speed.timed(base.generate, base.generate, requests, 2)
    assert mine is theirs and len(base.asked) == 5
