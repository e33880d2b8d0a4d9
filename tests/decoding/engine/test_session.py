"""Requests that come, wait, share a pool, are cancelled and leave: each is answered as it is alone."""

import dataclasses
import itertools
from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_arms import PROMPTS, as_peft_loads_it, assert_replays, each_alone, make_arm, other_model, save_arms

from genarm.decoding import GuidedRequest, load_decoder
from genarm.decoding.engine import admission, recorded_policy
from genarm.decoding.engine.stop import StopCriteria, StreamingText
from genarm.decoding.runner import ensemble
from genarm.decoding.runner.cuda_graph import CudaGraphStep
from genarm.decoding.runner.ensemble import Ensemble
from genarm.errors import RequestError
from genarm.models import resolve

torch.set_num_threads(1)

WEIGHTS = [
    {},
    {"all": 0.4},
    {"top": 1.0, "small": 0.5},
    {"small": 1.0, "all": 0.0},
    {"middle": 0.6, "top": 0.3},
]
SAMPLING = [{}, {"temperature": 0.6}, {"top_k": 7}, {"temperature": 0.0}, {"top_p": 0.8, "temperature": 1.5}]


@pytest.fixture(scope="module")
def models(toy, tmp_path_factory):
    """Folders of ARMs on the base's weights and one on a smaller model, and each as PEFT loads it."""
    root = tmp_path_factory.mktemp("session")
    folders = save_arms(root, resolve(str(toy.folder)), toy.model)
    small = other_model(toy, root / "other")
    folders["small"] = make_arm(root / "small", resolve(str(root / "other")), small, seed=9)
    of = {name: small if name == "small" else toy.model for name in folders}
    return folders, {name: as_peft_loads_it(of[name], folder) for name, folder in folders.items()}


@pytest.fixture(scope="module")
def engine(toy, models):
    return load_decoder(resolve(str(toy.folder)), models[0], dtype="float32")


@pytest.fixture(scope="module")
def palette(engine):
    """Requests of all kinds, and the answer that each gets alone."""
    kinds = [
        GuidedRequest(
            PROMPTS[(i + i // 5) % 5],
            WEIGHTS[i % 5],
            max_new_tokens=1 + i % 7 * 3,
            seed=i,
            **SAMPLING[i * 2 % 5],
        )
        for i in range(25)
    ]
    for i, answer in enumerate(engine.generate(kinds)):
        if i % 2 and len(answer.text) > 6:
            kinds[i] = dataclasses.replace(kinds[i], stop=(answer.text[4:6], answer.text[5:9], "zz"))
    return list(zip(kinds, each_alone(engine, kinds), strict=True))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(data=st.data())
def test_in_any_order_and_any_pool_each_request_is_answered_as_alone(engine, palette, data):
    """Submissions, steps, reads and cancellations interleaved as hypothesis likes."""
    engine.slots = data.draw(st.integers(1, 5), "slots")
    session = engine.session()
    streams, pieces, cancelled = [], [], set()
    for verb, which in data.draw(
        st.lists(st.tuples(st.sampled_from("ssstttrc"), st.integers(0, 24)), max_size=30)
    ):
        if verb == "s":
            streams.append((session.submit(palette[which][0]), which))
            pieces.append([])
        elif verb == "t":
            session.step()
        elif streams:
            i = which % len(streams)
            if verb == "c" and i not in cancelled:
                streams[i][0].cancel()
                cancelled.add(i)
            elif verb == "r":
                pieces[i] += [piece for _, piece in zip(range(2), streams[i][0], strict=False)]
    for (stream, which), read in zip(streams, pieces, strict=True):
        read += stream
        response, alone = stream.response(), palette[which][1]
        assert tuple(p.token for p in read) == response.tokens
        assert "".join(p.text for p in read) == response.text
        if response.finish_reason == "cancelled":
            assert response.tokens == alone.tokens[: len(response.tokens)]
            assert alone.text.startswith(response.text)
        else:
            assert (response.tokens, response.text) == (alone.tokens, alone.text)
            assert response.finish_reason == alone.finish_reason
            assert response.base_logprob == pytest.approx(alone.base_logprob, rel=1e-5, abs=1e-4)
            assert response.kl == pytest.approx(alone.kl, rel=1e-4, abs=1e-5)
    assert all(
        i in cancelled for i, (s, _) in enumerate(streams) if s.response().finish_reason == "cancelled"
    )


@pytest.mark.parametrize("slots", [2, 5, 30])
@pytest.mark.parametrize("patch", [None, "slack", "prefill", "recorded", "ahead"])
def test_a_batch_is_answered_as_its_requests_alone(engine, palette, monkeypatch, slots, patch):
    """Also where the cache is moved at every turn, prompts are read in small pieces, and steps recorded."""
    if patch == "slack":
        monkeypatch.setattr(admission, "SLACK", 0)
    elif patch == "prefill":
        monkeypatch.setattr(ensemble, "PREFILL", 4)
    for part in engine.parts:
        monkeypatch.setattr(part.trunk.recorder, "enabled", patch in ("recorded", "ahead"))
    if patch == "ahead":
        monkeypatch.setattr(recorded_policy, "AHEAD_ON", {"cpu", "cuda"})
    engine.slots = slots
    requests, alone = zip(*palette, strict=True)
    answers = engine.generate(requests)
    assert [(a.tokens, a.text, a.finish_reason) for a in answers] == [
        (a.tokens, a.text, a.finish_reason) for a in alone
    ]
    assert all(part.trunk.recorder.enabled == (patch in ("recorded", "ahead")) for part in engine.parts)
    assert engine.generate([]) == []


@pytest.mark.parametrize("last", [1, 6, 9])
def test_a_step_that_can_no_longer_be_recorded_is_drawn_without(engine, palette, monkeypatch, last):
    """Also where it had begun before the tokens of the step before it were known."""
    runs, run = itertools.count(1), CudaGraphStep.run

    def until(self, *step):
        if next(runs) > last:
            raise RuntimeError("no more")
        return run(self, *step)

    for part in engine.parts:
        monkeypatch.setattr(part.trunk.recorder, "enabled", True)
    monkeypatch.setattr(CudaGraphStep, "run", until)
    monkeypatch.setattr(recorded_policy, "AHEAD_ON", {"cpu", "cuda"})
    engine.slots = 3
    plain = [(r, a) for r, a in palette if not r.top_k and r.top_p == 1]  # others are not read ahead
    requests, alone = zip(*plain, strict=True)
    assert [a.tokens for a in engine.generate(requests)] == [a.tokens for a in alone]
    assert next(runs) > last + 1


def counted(monkeypatch):
    """How often slots were taken in place, and how often all was arranged anew."""
    seen = Counter()
    take, assemble = Ensemble.take, admission.assemble
    monkeypatch.setattr(Ensemble, "take", lambda *a: (seen.update(["take"]), take(*a))[1])
    monkeypatch.setattr(admission, "assemble", lambda *a: (seen.update(["assemble"]), assemble(*a))[1])
    return seen


@pytest.mark.parametrize("weights", [{"all": 0.4, "small": 0.2}, {"top": 1.0}])
def test_a_slot_that_falls_free_is_taken_at_once_and_keeps_nothing(engine, monkeypatch, weights):
    """In place where the same ARMs guide, by a new arrangement where others do."""
    first = GuidedRequest(PROMPTS[1], {"all": 0.9, "small": 0.3}, max_new_tokens=6, seed=1)
    others = [dataclasses.replace(first, prompt=PROMPTS[4], seed=i, max_new_tokens=40) for i in range(2, 6)]
    heir = GuidedRequest(PROMPTS[3], weights, temperature=1.4, top_k=4, max_new_tokens=12, seed=7)
    alone = each_alone(engine, [first, *others, heir])
    engine.slots = 5
    session = engine.session()
    streams = [session.submit(request) for request in (first, *others, heir)]
    seen = counted(monkeypatch)
    for _ in range(6):
        session.step()
    assert streams[0].response().tokens == alone[0].tokens and seen["take"] == 0
    before = seen["assemble"]
    session.step()
    assert streams[5].ready == 1  # it drew a token in the very next step
    in_place = weights.keys() == first.weights.keys()
    assert (seen["take"], seen["assemble"] - before) == ((1, 0) if in_place else (0, 1))
    assert [s.response().tokens for s in streams] == [a.tokens for a in alone]


def test_a_prompt_that_many_share_is_read_once(engine, monkeypatch):
    """Best of N of six prompts in turn, and a sweep of weights over another."""
    many = [GuidedRequest((i % 6, 8, 8), {"all": 0.5}, max_new_tokens=5, seed=i) for i in range(24)]
    sweep = [
        GuidedRequest(PROMPTS[4], {"all": w, "small": 1 - w}, max_new_tokens=7) for w in (0, 0.3, 0.6, 1)
    ]
    read, prefill = [], Ensemble.prefill
    monkeypatch.setattr(Ensemble, "prefill", lambda self, p: (read.extend(map(len, p)), prefill(self, p))[1])
    for slots in (3, 32):
        engine.slots = slots
        answers = engine.generate([*many, *sweep])
        assert sorted(read) == [2] * 6 + [len(PROMPTS[4]) - 1]
        read.clear()
    monkeypatch.undo()
    assert [a.tokens for a in answers] == [a.tokens for a in each_alone(engine, (*many, *sweep))]


def test_a_prompt_that_is_still_waited_for_is_not_read_on(engine):
    """The third request shares the first one's prompt, which goes on in a slot before the third has one."""
    requests = [GuidedRequest(PROMPTS[i], max_new_tokens=6 + 6 * n, seed=n) for n, i in enumerate((1, 3, 1))]
    alone = each_alone(engine, requests)
    engine.slots = 2
    session = engine.session()
    streams = [session.submit(request) for request in requests]
    assert [s.response().tokens for s in streams] == [a.tokens for a in alone]


def test_a_cancelled_request_frees_its_slot_and_harms_no_other(engine):
    requests = [GuidedRequest(PROMPTS[i], WEIGHTS[2 - i], max_new_tokens=20, seed=i) for i in range(3)]
    alone = each_alone(engine, [*requests, requests[1]])
    engine.slots = 2
    session = engine.session()
    streams = [session.submit(request) for request in requests]
    late = session.submit(requests[1])
    pieces = [piece for _, piece in zip(range(4), streams[0], strict=False)]
    streams[0].cancel()
    late.cancel()
    late.cancel()
    assert list(streams[0]) == []
    cut = streams[0].response()
    assert (cut.finish_reason, cut.tokens) == ("cancelled", alone[0].tokens[:4])
    assert cut.text == "".join(p.text for p in pieces)
    assert (late.response().finish_reason, late.response().tokens) == ("cancelled", ())
    session.step()
    assert streams[2].ready == 1
    assert [s.response().tokens for s in streams[1:]] == [a.tokens for a in alone[1:3]]
    streams[1].cancel()  # too late
    assert streams[1].response().finish_reason == alone[1].finish_reason


@pytest.mark.parametrize("strategy", ["auto", "separate"])
def test_rewards_are_the_log_probabilities_of_whole_passes(toy, models, engine, strategy):
    folders, loaded = models
    decoder = load_decoder(
        resolve(str(toy.folder)), folders, dtype="float32", strategy=strategy, batch_size=4
    )
    requests = [
        GuidedRequest(p, w, max_new_tokens=9, seed=i, return_rewards=i != 3, **SAMPLING[i])
        for i, (p, w) in enumerate(zip(PROMPTS, WEIGHTS, strict=True))
    ]
    for request, answer in zip(requests, decoder.generate(requests), strict=True):
        if request.return_rewards:
            assert_replays(answer, request, toy.model, loaded)
        else:
            assert answer.rewards == ()
    stream = decoder.session().submit(requests[2])
    assert tuple(piece.rewards for piece in stream) == stream.response().rewards
    assert len(stream.response().rewards) == len(stream.response().tokens) > 0


def test_a_longer_prompt_than_any_before_finds_room(engine):
    """It comes while others are under way; the cache was made for them."""
    short = [GuidedRequest(PROMPTS[0], WEIGHTS[i], max_new_tokens=10 + i, seed=i) for i in range(4)]
    long = [GuidedRequest(tuple(range(5, 205)), w, max_new_tokens=250, seed=9) for w in WEIGHTS[:2]]
    alone = each_alone(engine, [*short, *long])
    engine.slots = 6
    session = engine.session()
    streams = [session.submit(request) for request in short]
    session.step()
    streams += [session.submit(request) for request in long]
    assert [s.response().tokens for s in streams] == [a.tokens for a in alone]
    with pytest.raises(RequestError, match="request 6: 400 prompt tokens and 113 new .*context of 512"):
        session.submit(GuidedRequest((1,) * 400, max_new_tokens=113))


def test_a_prompt_of_one_token_beside_longer_ones_in_another_model(engine):
    """The smaller model has nothing to read ahead while the base reads a long prompt."""
    requests = [
        GuidedRequest((9,), {"small": 0.7}, max_new_tokens=8, seed=1),
        GuidedRequest(PROMPTS[1], {}, max_new_tokens=8, seed=2),
    ]
    alone = each_alone(engine, requests)
    engine.slots = 2
    assert [a.tokens for a in engine.generate(requests)] == [a.tokens for a in alone]


def streamed(tokenizer, model, written: bytes, stop=()):
    """The pieces of a text of which each byte is a token."""
    text = StreamingText(StopCriteria(tokenizer, model), stop)
    ids = tokenizer.convert_tokens_to_ids(tokenizer.tokenize(written.decode("utf-8", "replace")))
    return [text.add(i) for i in ids], text


def test_characters_are_streamed_whole_and_a_possible_stop_string_is_held_back(toy):
    pieces, text = streamed(toy.tokenizer, toy.model, "né\N{GRINNING FACE} ok".encode())
    assert pieces == ["n", "", "é", "", "", "", "\N{GRINNING FACE}", " ", "o", "k"]
    assert text.finish("né\N{GRINNING FACE} ok") == ""
    pieces, text = streamed(toy.tokenizer, toy.model, b"a STOP or STand STO", ("STOP!", "STx"))
    assert pieces[:8] == ["a", " ", "", "", "", "", "STOP ", "o"]
    assert "".join(pieces) == "a STOP or STand "
    assert text.finish("a STOP or STand STO") == "STO"
    # A character that never becomes whole comes at the end.
    text = StreamingText(StopCriteria(toy.tokenizer, toy.model), ())
    ids = [toy.tokenizer.convert_tokens_to_ids(symbol) for symbol in toy.tokenizer.tokenize("é")]
    whole = text.criteria.text(ids[:1])
    assert text.add(ids[0]) == "" and text.finish(whole) == whole == "\N{REPLACEMENT CHARACTER}"
