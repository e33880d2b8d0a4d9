"""A stop string that is a special token stops at that token, however the request is served."""

import dataclasses

import pytest
import torch
from toy_arms import PROMPTS, make_arm, other_model

from genarm.chat.conversation import reply
from genarm.config import SamplingConfig
from genarm.decoding import GuidedRequest, load_decoder
from genarm.decoding.engine.stop import StopCriteria
from genarm.errors import RequestError
from genarm.models import resolve
from genarm.types import Message

torch.set_num_threads(1)
STOPS = {"<|user|>": 259, "<|system|>": 258, "<|assistant|>": 260}


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "speculative"])
def decoder(request, toy, tmp_path_factory):
    root = tmp_path_factory.mktemp("stop")
    small = other_model(toy, root / "other")
    arm = make_arm(root / "small", resolve(str(root / "other")), small, seed=9)
    source = resolve(str(toy.folder))
    return load_decoder(source, {"small": arm}, dtype="float32", speculate=request.param, batch_size=16)


@pytest.fixture(scope="module")
def drawn(decoder):
    """Requests that draw a special token before their end, with the place of the first, and the answers."""
    requests = [
        GuidedRequest((*PROMPTS[i % 5], i), {"small": 0.3 * (i % 2)}, seed=i, max_new_tokens=40)
        for i in range(24)
    ]
    found = []
    for request, answer in zip(requests, decoder.generate(requests), strict=True):
        places = [i for i, token in enumerate(answer.tokens[:-1]) if token in STOPS.values()]
        if places:
            found.append((request, answer, places[0]))
    assert len(found) > 3
    return found[:6]


def with_stop(request, answer, place):
    (stop,) = (string for string, token in STOPS.items() if token == answer.tokens[place])
    return dataclasses.replace(request, stop=("\0never", stop))


def test_it_ends_the_response_and_is_left_out_of_its_text(decoder, drawn, toy):
    for request, answer, place in drawn:
        (cut,) = decoder.generate([with_stop(request, answer, place)])
        assert (cut.finish_reason, cut.tokens) == ("stop", answer.tokens[: place + 1])
        assert cut.text == toy.tokenizer.decode(cut.tokens, skip_special_tokens=True)


def test_in_a_batch_and_streamed_it_ends_the_same(decoder, drawn):
    requests = [with_stop(*of) for of in drawn]
    session = decoder.session()
    streams = [session.submit(request) for request in requests]
    for stream, (_, answer, place) in zip(streams, drawn, strict=True):
        pieces = list(stream)
        assert tuple(piece.token for piece in pieces) == stream.response().tokens
        assert "".join(piece.text for piece in pieces) == stream.response().text
        assert stream.response().finish_reason == "stop"
        if (
            decoder.policy.reach == 1
        ):  # drafts follow a slot's own acceptance, so their tokens are the same too
            assert stream.response().tokens == answer.tokens[: place + 1]


def test_in_chat_both_answers_stop_at_it(decoder, toy):
    sampling = SamplingConfig(max_new_tokens=60, top_p=1.0, stop=tuple(STOPS))
    stopped = 0
    for seed in range(5):
        chosen = sampling.model_copy(update={"seed": seed})
        exchange = reply(decoder, toy.tokenizer, [Message("user", "hi")], {"small": 0.4}, chosen)
        for answer in (exchange.base, exchange.guided):
            assert not set(answer.tokens[:-1]) & set(STOPS.values())
            stopped += answer.tokens[-1] in STOPS.values()
            assert answer.finish_reason == "stop" or len(answer.tokens) == 60
    assert stopped


def test_one_beside_other_text_is_refused_before_any_work(decoder):
    request = GuidedRequest((1, 2), stop=("ok", "\n<|user|>"), max_new_tokens=3)
    with pytest.raises(
        RequestError, match=r"request 0: .*'\\n<\|user\|>' holds .*'<\|user\|>' beside"
    ) as caught:
        decoder.generate([request])
    assert caught.value.hint == "stop at '<|user|>' alone"
    with pytest.raises(RequestError, match="beside other text"):
        decoder.session().submit(request)


def test_a_stop_string_is_found_however_many_special_tokens_lie_within_it(toy):
    """They are left out of the text, which would then hold the stop string."""
    criteria = StopCriteria(toy.tokenizer, toy.model)
    a, b = (toy.tokenizer.convert_tokens_to_ids(letter) for letter in "ab")
    assert criteria.text_before_stop([b, a, *[259] * 30, b], ("ab",)) == "b"
