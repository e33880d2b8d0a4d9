"""What goes wrong in one request harms no other: scores that are no numbers, memory that runs out."""

import dataclasses
import logging

import pytest
import torch
from toy_arms import LINEAR, PROMPTS, TOKENS, each_alone, make_arm, other_model
from toys import toy_model

from genarm.decoding import GuidedRequest, load_decoder
from genarm.decoding.runner.batch import ModelBatch
from genarm.decoding.runner.forward import LayerwiseForward
from genarm.errors import ModelError
from genarm.models import resolve

torch.set_num_threads(1)


def poisoned(engine, token: int):
    """Of every model, reading this one token gives no numbers."""
    for part in engine.parts:
        part.trunk.model.get_input_embeddings().weight.data[token] = torch.nan
    return engine


@pytest.fixture(scope="module")
def load(toy, tmp_path_factory):
    """Decoders whose embedding is not their output head, with one shared ARM and one of its own."""
    root = tmp_path_factory.mktemp("mishaps")
    model = toy_model(tie_word_embeddings=False)
    model.save_pretrained(root / "base")
    toy.tokenizer.save_pretrained(root / "base")
    source = resolve(str(root / "base"))
    small = other_model(toy, root / "other", tie_word_embeddings=False)
    folders = {
        "shared": make_arm(
            root / "shared", source, model, seed=1, layers_to_transform=[2, 3], target_modules=LINEAR
        ),
        "small": make_arm(root / "small", resolve(str(root / "other")), small, seed=2),
    }
    return lambda **settings: load_decoder(source, folders, dtype="float32", **settings)


def others(n: int, **changes: object):
    weights = [{"shared": 0.6}, {}, {"shared": 0.4, "small": 0.3}, {"small": 0.8}]
    return [
        dataclasses.replace(
            GuidedRequest(PROMPTS[i % 5], weights[i % 4], max_new_tokens=8 + 3 * i, seed=i), **changes
        )
        for i in range(n)
    ]


def unread(answers, requests):
    """A token that none of these reads, and that is neither the first nor the last of all."""
    seen = {t for a, r in zip(answers, requests, strict=True) for t in (*a.tokens, *r.prompt)}
    return next(t for t in range(30, 250) if t not in seen)


@pytest.mark.parametrize(
    ("first_or_last", "speculate"), [(None, False), (None, True), (0, False), (TOKENS - 1, False)]
)
def test_scores_that_are_not_finite_fail_their_request_alone(load, speculate, first_or_last):
    """The poison is in one prompt. What is drawn from no numbers may well be the poison again."""
    clean, requests = load(speculate=speculate), others(7)
    alone = each_alone(clean, requests)
    token = unread(alone, requests) if first_or_last is None else first_or_last
    engine = poisoned(load(batch_size=3, speculate=speculate), token)
    sound = [(r, a) for r, a in zip(requests, alone, strict=True) if token not in (*r.prompt, *a.tokens)]
    assert len(sound) >= 4
    bad = GuidedRequest((3, token, 5), {"shared": 0.6, "small": 0.1}, max_new_tokens=9)
    session = engine.session()
    streams = [session.submit(r) for r in (sound[0][0], bad, *(r for r, _ in sound[1:]))]
    failed = streams.pop(1)
    for stream, (_, answer) in zip(streams, sound, strict=True):
        assert stream.response().tokens == answer.tokens
    with pytest.raises(ModelError, match="request 1: the model's scores are not finite"):
        failed.response()
    with pytest.raises(ModelError, match="request 1: "):
        list(failed)
    counts = []
    with pytest.raises(ModelError, match="request 0: "):
        engine.generate([bad, *(r for r, _ in sound)], counts.append)
    assert sum(counts) >= sum(len(a.tokens) for _, a in sound)


@pytest.mark.parametrize("ending", ["drawn last", "failed"])
def test_who_takes_the_slot_next_is_not_harmed(load, ending):
    """A slot that nobody has reads its last token on; here that token gives no numbers."""
    weights = {"shared": 0.6, "small": 0.2}
    clean = load()
    first = GuidedRequest(PROMPTS[1], weights, max_new_tokens=5, seed=3)
    poison = clean.generate([first])[0].tokens[-1]
    long = []
    for seed in range(100):
        request = GuidedRequest(PROMPTS[4], weights, max_new_tokens=30, seed=seed)
        if poison not in clean.generate([request])[0].tokens:
            long.append(request)
        if len(long) == 6:
            break
    *rest, heir = long
    heir = dataclasses.replace(heir, prompt=(9, 9))  # short, so that the poison is not written over
    long[-1] = heir
    if ending == "failed":
        first = dataclasses.replace(first, prompt=(*PROMPTS[1], poison))
    alone = each_alone(clean, long)
    engine = poisoned(load(batch_size=6), poison)
    session = engine.session()
    streams = [session.submit(request) for request in (first, *rest)]
    for _ in range(8):
        session.step()
    assert streams[0].done
    ensemble = session.admission.ensemble
    streams.append(session.submit(heir))
    session.step()
    assert session.admission.ensemble is ensemble  # it took the slot that fell free
    if ending == "failed":
        with pytest.raises(ModelError, match="request 0: "):
            streams[0].response()
    assert [s.response().tokens for s in streams[1:]] == [a.tokens for a in alone]


def test_an_arm_whose_scores_are_not_finite_fails_the_requests_that_it_guides(load, toy):
    engine = load(batch_size=4)
    requests = others(8)
    clean = engine.generate(requests)
    small = next(part for part in engine.parts if not part.base).trunk.model
    small.get_output_embeddings().weight.data[7] = torch.nan
    session = engine.session()
    for stream, request, answer in zip([session.submit(r) for r in requests], requests, clean, strict=True):
        if "small" in request.weights:
            with pytest.raises(ModelError, match="not finite"):
                stream.response()
        else:
            assert stream.response().tokens == answer.tokens


class OutOfMemory:
    """Calls of a method, of which some run out of memory: a pass through a model, unless another is named."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, fails, owner=LayerwiseForward, name="run") -> None:
        self.calls, self.fails, self.method = 0, fails, getattr(owner, name)
        monkeypatch.setattr(owner, name, lambda *args: self(*args))

    def __call__(self, *args):
        self.calls += 1
        out = self.method(*args)
        if self.fails(self.calls):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        return out


@pytest.mark.parametrize(
    ("owner", "name", "speculate"),
    [(LayerwiseForward, "run", False), (LayerwiseForward, "run", True), (ModelBatch, "take", False)],
)
def test_memory_that_runs_out_halves_the_pool_once(load, monkeypatch, caplog, owner, name, speculate):
    """Whenever it happens: reading prompts, stepping, drafting, verifying, or moving what was read."""
    # A draft of another depth, which a request starts with anew, draws other numbers; the best token is one.
    changes = {"temperature": 0.0} if speculate else {"return_rewards": True}
    requests = others(7, **changes)
    engine = load(batch_size=4, speculate=speculate)
    want = each_alone(engine, requests)
    with monkeypatch.context() as patched:
        passes = OutOfMemory(patched, lambda call: False, owner, name)
        engine.generate(requests)
    assert passes.calls > 10
    for which in (*range(1, 11), *range(11, passes.calls, 7)):
        caplog.clear()
        with monkeypatch.context() as patched, caplog.at_level(logging.WARNING, "genarm"):
            OutOfMemory(patched, lambda call, which=which: call == which, owner, name)
            answers = engine.generate(requests)
        (warning,) = caplog.records
        assert warning.getMessage() in (
            "out of memory: going on with 1 slots",
            "out of memory: going on with 2 slots",
        )
        for answer, other in zip(answers, want, strict=True):
            assert (answer.tokens, answer.text) == (other.tokens, other.text)
            assert answer.kl == pytest.approx(other.kl, rel=1e-4, abs=1e-5)
            assert len(answer.rewards) == len(other.rewards)


@pytest.mark.timeout(60)  # a request that nobody remembers would be waited for without end
@pytest.mark.parametrize("slots", [1, 2, 4])
def test_memory_that_stays_out_is_an_error(load, monkeypatch, slots):
    engine = load(batch_size=slots)
    passes = OutOfMemory(monkeypatch, lambda call: call > 3)
    with pytest.raises(torch.OutOfMemoryError):
        engine.generate(others(5))
    assert passes.calls < 12


def test_what_was_streamed_before_memory_ran_out_is_streamed_once(load, monkeypatch):
    engine = load(batch_size=4)
    requests = others(5)
    want = each_alone(engine, requests)
    session = engine.session()
    streams = [session.submit(request) for request in requests]
    pieces = [[piece for _, piece in zip(range(3), stream, strict=False)] for stream in streams]
    with monkeypatch.context() as patched:
        OutOfMemory(patched, lambda call: call == 1)
        session.step()
    cut = streams[requests.index(session.admission.waiting[-1].request)]
    cut.cancel()
    for stream, read, answer in zip(streams, pieces, want, strict=True):
        read += stream
        assert "".join(piece.text for piece in read) == stream.response().text
        assert tuple(piece.token for piece in read) == stream.response().tokens
        if stream is cut:
            assert stream.response().finish_reason == "cancelled"
            assert stream.response().tokens == answer.tokens[: len(read)] and read
        else:
            assert stream.response().tokens == answer.tokens


def test_errors_that_are_no_lack_of_memory_are_not_hidden(load, monkeypatch):
    def misfit(*_):
        raise RuntimeError("shape mismatch")

    engine = load()
    monkeypatch.setattr(LayerwiseForward, "run", misfit)
    with pytest.raises(RuntimeError, match="shape mismatch"):
        engine.generate(others(2))
