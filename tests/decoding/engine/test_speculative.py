"""Drafted and verified, the guided policy draws what it would have drawn token by token."""

import dataclasses
from collections import Counter

import numpy as np
import pytest
import torch
from scipy.stats import chisquare
from toy_arms import (
    LINEAR,
    PROMPTS,
    as_peft_loads_it,
    assert_replays,
    each_alone,
    enumerated,
    make_arm,
    plain_loop,
    strong_base,
)

from genarm.decoding import GuidedRequest, load_decoder
from genarm.decoding.engine.speculative import SpeculativePolicy
from genarm.errors import ConfigError
from genarm.models import resolve

torch.set_num_threads(1)

ROUNDING = 1e-4  # of twelve layers, which are initialised wide
MIXED = [
    {"arm": 0.7},
    {},
    {"arm": 0.3, "whole": 0.5},
    {"own": 0.6},
    {"second": 1.0, "own": 0.4},
    {"whole": 1.0},
]
SAMPLING = [
    {},
    {"temperature": 0.7, "top_k": 6},
    {"top_p": 0.8},
    {"temperature": 1.5, "top_p": 0.9, "top_k": 20},
]


@pytest.fixture(scope="module")
def strong(toy, tmp_path_factory):
    """A base three times as deep, guided by itself (own), and by the toy bare (whole) and with two LoRAs."""
    root = tmp_path_factory.mktemp("strong")
    base, small = strong_base(toy, root / "base", noise=0.3), resolve(str(toy.folder))
    source = resolve(str(root / "base"))
    folders = {
        "arm": make_arm(root / "arm", small, toy.model, seed=4),
        "second": make_arm(root / "second", small, toy.model, seed=5, r=2),
        "whole": toy.folder,
        "own": make_arm(
            root / "own", source, base, seed=6, layers_to_transform=[10, 11], target_modules=LINEAR
        ),
    }
    arms = {"whole": toy.model} | {
        name: as_peft_loads_it(base if name == "own" else toy.model, folders[name])
        for name in ("arm", "second", "own")
    }

    def load(slots: int = 32, **changes):
        return load_decoder(
            source, folders, dtype="float32", batch_size=slots, **{"speculate": True} | changes
        )

    return load, base, arms


def mixed(**changes):
    return [
        dataclasses.replace(
            GuidedRequest(PROMPTS[i % 5], MIXED[i % 6], max_new_tokens=1 + 2 * i, seed=i, **SAMPLING[i % 4]),
            **changes,
        )
        for i in range(14)
    ]


def gist(answer):
    return answer.tokens, answer.text, answer.finish_reason


@pytest.mark.parametrize("slots", [3, 32])
def test_greedy_tokens_are_those_of_plain_decoding(strong, slots):
    load, base, arms = strong
    requests = mixed(temperature=0.0, top_k=0, top_p=1.0, return_rewards=True)
    plain = load(speculate=False).generate(requests)
    stop = tuple(plain[-1].text[i : i + 2] for i in (9, 12) if len(plain[-1].text) > 14)
    requests[-1] = dataclasses.replace(requests[-1], stop=stop)
    plain[-1] = load(speculate=False).generate(requests[-1:])[0]
    decoder = load(slots)
    for answer, other, request in zip(decoder.generate(requests), plain, requests, strict=True):
        assert gist(answer) == gist(other)
        if not request.stop:
            assert answer.tokens == plain_loop(base, arms, request)[0]
        assert_replays(answer, request, base, arms, ROUNDING)
    assert plain[-1].finish_reason == "stop" and len(plain[-1].tokens) < requests[-1].max_new_tokens
    assert 0.2 < decoder.policy.acceptance < 0.99  # both verdicts took part


def test_sampled_tokens_do_not_depend_on_the_batch_and_are_measured_right(strong):
    load, base, arms = strong
    requests = mixed(return_rewards=True)
    alone = each_alone(load(), requests)
    for slots in (3, 32):
        answers = load(slots).generate(requests[::-1])[::-1]
        assert [gist(a) for a in answers] == [gist(a) for a in alone]
    for answer, request in zip(answers, requests, strict=True):
        assert_replays(answer, request, base, arms, ROUNDING)


def assert_follows(answers, chances, length):
    """Chi-square of the first tokens against their enumerated chances, rare beginnings taken together."""
    n = len(answers)
    counts = Counter(answer.tokens[:length] for answer in answers)
    often = [tokens for tokens, chance in chances.items() if tokens and chance * n >= 5]
    assert len(often) > 5 and max(chances.values()) < 0.9  # else the test would say nothing
    observed = np.array([*(counts[tokens] for tokens in often), n - sum(counts[t] for t in often)])
    expected = np.array([*(chances[t] * n for t in often), n - sum(chances[t] * n for t in often)])
    if expected[-1] < 5:
        observed[-2], expected[-2] = observed[-2:].sum(), expected[-2:].sum()
        observed, expected = observed[:-1], expected[:-1]
    assert chisquare(observed, expected * observed.sum() / expected.sum()).pvalue > 1e-3


@pytest.mark.parametrize(
    ("length", "sampling"),
    [
        (3, {"temperature": 0.8, "top_k": 5, "top_p": 0.95}),
        (2, {}),
        (2, {"guidance": "contrast"}),
        pytest.param(3, {"temperature": 0.5}, marks=pytest.mark.slow),
    ],
)
def test_sampled_tokens_follow_the_enumerated_distribution(strong, toy, length, sampling):
    """Each of three tokens is now a draft that stayed, now a recovered one, the later ones a bonus too."""
    load, base, arms = strong
    request = GuidedRequest((5, 6, 7), {"arm": 0.4, "own": 0.2}, max_new_tokens=4, **sampling)
    n, decoder = 3000, load(1000)
    decoder.policy.cost = 0.1  # deeper than such a draft is worth
    answers = decoder.generate([dataclasses.replace(request, seed=seed) for seed in range(n)])
    assert 0.3 < decoder.policy.acceptance < 0.97
    starts = {"arm": toy.model}
    assert_follows(answers, enumerated(base, arms, request, length, least=2 / n, starts=starts), length)


@pytest.mark.parametrize("sampling", [{}, {"temperature": 0.8, "top_k": 9, "top_p": 0.9}])
def test_acceptance_is_one_minus_total_variation(strong, toy, sampling):
    """Two tokens, so that one is drafted, always after the prompt: p and q are known there."""
    load, base, arms = strong
    weights = {"arm": 0.5, "second": 0.2}
    request = GuidedRequest((5, 6, 7), weights, max_new_tokens=2, **sampling)
    n, decoder = 3000, load(1000)
    decoder.generate([dataclasses.replace(request, seed=seed) for seed in range(n)])
    p, q = (enumerated(model, arms, request, 1, least=0) for model in (base, toy.model))
    expected = 1 - sum(abs(p.get(t, 0) - q.get(t, 0)) for t in p.keys() | q.keys()) / 2
    assert 0.2 < expected < 0.95 and decoder.policy.tested == n
    error = (expected * (1 - expected) / n) ** 0.5
    assert decoder.policy.acceptance == pytest.approx(expected, abs=4 * error)


@pytest.mark.parametrize(("noise", "deepest"), [(0.0, 8), (30.0, 1)])
def test_the_depth_follows_the_acceptance(toy, tmp_path, monkeypatch, noise, deepest):
    """A base that is its draft under other names, and one that has nothing to do with it."""
    strong_base(toy, tmp_path / "base", noise=noise)
    arm = make_arm(tmp_path / "arm", resolve(str(toy.folder)), toy.model, seed=4)
    decoder = load_decoder(resolve(str(tmp_path / "base")), {"arm": arm}, dtype="float32", speculate=True)
    depths, depth = [], SpeculativePolicy.draft_depth
    monkeypatch.setattr(
        SpeculativePolicy, "draft_depth", lambda *a: (depths.append(depth(*a)), depths[-1])[1]
    )
    request = GuidedRequest(PROMPTS[0], {"arm": 0.2}, max_new_tokens=120)
    decoder.generate([request])
    drafted = [int(d[0]) for d in depths]
    assert drafted[0] == 2 and (max(drafted) if noise == 0 else min(drafted[:-2])) == deepest
    assert all(1 <= d <= 8 for d in drafted[:-1])
    if noise == 0:
        assert decoder.policy.acceptance == 1


def test_a_cancelled_request_harms_no_other(strong):
    load, _, _ = strong
    requests = mixed(max_new_tokens=25)[:6]
    alone = each_alone(load(), requests)
    session = load(3).session()
    streams = [session.submit(request) for request in requests]
    pieces = [piece for _, piece in zip(range(4), streams[0], strict=False)]
    streams[0].cancel()
    streams[4].cancel()
    pieces += streams[0]
    cut = streams[0].response()
    assert cut.finish_reason == "cancelled" and cut.tokens == tuple(p.token for p in pieces)
    assert cut.tokens == alone[0].tokens[: len(cut.tokens)] and len(cut.tokens) < 25
    assert cut.text == "".join(p.text for p in pieces)
    for i in (1, 2, 3, 5):
        read = list(streams[i])
        assert gist(streams[i].response()) == gist(alone[i])
        assert "".join(p.text for p in read) == alone[i].text
    assert streams[4].response().tokens == ()


def test_speculation_without_a_draft_is_refused(strong, toy, tmp_path):
    arm = make_arm(tmp_path / "arm", resolve(str(toy.folder)), toy.model, seed=4)
    with pytest.raises(ConfigError, match="speculation needs an ARM with a model of its own"):
        load_decoder(resolve(str(toy.folder)), {"arm": arm}, dtype="float32", speculate=True)
