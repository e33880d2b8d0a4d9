"""Requests that make no sense, or that the decoder cannot serve, are refused with what to do."""

import math

import pytest

from genarm.decoding.request import GuidedRequest, check_servable
from genarm.errors import RequestError


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"prompt": ()}, "prompt is empty"),
        ({"weights": {"a": -1.0}}, "weight of ARM 'a' is -1.0"),
        ({"weights": {"a": float("nan")}}, "weight of ARM 'a' is nan"),
        ({"temperature": -0.1}, "temperature is -0.1"),
        ({"temperature": math.inf}, "temperature is inf"),
        ({"top_p": 0.0}, "top_p is 0.0"),
        ({"top_k": -1}, "top_k is -1"),
        ({"max_new_tokens": 0}, "max_new_tokens is 0"),
        ({"max_new_tokens": 2.5}, "max_new_tokens is 2.5"),
        ({"stop": ("",)}, "stop string is empty"),
        ({"stop": "###"}, "stop is '###'"),
        ({"stop": (5,)}, r"stop is \(5,\)"),
        ({"stop": None}, "stop is None"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused(wrong, message):
    with pytest.raises(RequestError, match=message):
        GuidedRequest(**{"prompt": (1,), **wrong})


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (GuidedRequest((1,), {"c": 1.0}), "request 1 names ARM 'c'.*loaded ARMs: a, b"),
        (GuidedRequest((1,) * 30, max_new_tokens=3), "request 1: 30 prompt tokens and 3 new .*context of 32"),
        (GuidedRequest((1, 10), max_new_tokens=1), r"request 1: .*\[1, 10\], the tokenizer has 10"),
    ],
)
def test_a_request_that_the_decoder_cannot_serve_is_named(request_, message):
    fine = GuidedRequest((9,) * 30, {"a": 1.0, "b": 0.0}, max_new_tokens=2)
    check_servable(fine, ["a", "b"], context=32, vocab=10, name="request 0")
    with pytest.raises(RequestError, match=message):
        check_servable(request_, ["a", "b"], context=32, vocab=10, name="request 1")
