"""Requests that make no sense, or that the decoder cannot serve, are refused with what to do."""

import ast
import inspect
import math

import numpy as np
import pytest
import torch

from genarm.decoding import load_decoder, request
from genarm.decoding.request import GuidedRequest, check_servable
from genarm.errors import GenarmError, RequestError
from genarm.models import render, resolve
from genarm.types import Message


@pytest.fixture(scope="module")
def decoder(toy):
    return load_decoder(resolve(str(toy.folder)), {}, dtype="float32", batch_size=2)


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
        ({"seed": 1.5}, "seed is 1.5.*whole number"),
        ({"temperature": "0.7"}, "temperature is '0.7'.*a number"),
        ({"weights": 0.3}, r'weights is 0.3.*\{"positive": 0.3\}'),
        ({"weights": {"a": "0.3"}}, "weight of ARM 'a' is '0.3'"),
        ({"prompt": "hello"}, r"the prompt is 'hello', not token ids.*render\(load_tokenizer\(base\)"),
        ({"prompt": ("hello",)}, "the prompt holds 'hello', which is no token id"),
        ({"prompt": {"input_ids": [1]}}, "the prompt is a dict, not token ids"),
        ({"prompt": torch.tensor([1, 2])}, r"the prompt is a Tensor.*prompt.tolist\(\)"),
        ({"prompt": torch.tensor([1, 2]).unbind()}, "holds a Tensor, which is no token id"),
        ({"guidance": "difference"}, 'guidance is \'difference\'.*"sum", "contrast"'),
        ({"guidance": {"a": None}}, "guidance is None"),
        ({"guidance": "contrast", "weights": {"a": -0.5}}, "weight of ARM 'a' is -0.5"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused(wrong, message):
    with pytest.raises(RequestError, match=message):
        GuidedRequest(**{"prompt": (1,), **wrong})


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (GuidedRequest((1,), {"c": 1.0}), "request 1 names ARM 'c'.*loaded ARMs: a, b"),
        (
            GuidedRequest((1,), guidance={"c": "sum"}),
            "request 1 says the guidance of ARM 'c'.*loaded ARMs: a, b",
        ),
        (GuidedRequest((1,) * 30, max_new_tokens=3), "request 1: 30 prompt tokens and 3 new .*context of 32"),
        (GuidedRequest((1, 10), max_new_tokens=1), r"request 1: .*\[1, 10\], the tokenizer has 10"),
    ],
)
def test_a_request_that_the_decoder_cannot_serve_is_named(request_, message):
    fine = GuidedRequest((9,) * 30, {"a": 1.0, "b": 0.0}, max_new_tokens=2)
    check_servable(fine, ["a", "b"], context=32, vocab=10, name="request 0")
    with pytest.raises(RequestError, match=message):
        check_servable(request_, ["a", "b"], context=32, vocab=10, name="request 1")


@pytest.mark.parametrize(
    ("requests", "message"),
    [
        (["hello"], r"request 0 is 'hello', not a GuidedRequest; hint: write GuidedRequest\(decoder.prompt"),
        ("hello", r"generate was given 'hello', not a list.*generate\(\[GuidedRequest\(decoder.prompt"),
        (GuidedRequest((1,)), r"was given one request.*generate\(\[request\]\)"),
        ({"prompt": "hello"}, "was given a dict, not a list of requests"),
        ([(1, 2)], "request 0 is a tuple, not a GuidedRequest"),
        ([GuidedRequest((1,), {"mood": 1})], r"names ARM 'mood'.*loaded ARMs: none; more by"),
    ],
)
def test_what_is_no_request_is_told_in_a_line_how_one_is_made(decoder, requests, message):
    with pytest.raises(RequestError, match=message) as error:
        decoder.generate(requests)
    assert "\n" not in str(error.value)


def test_a_session_takes_requests_alone(decoder):
    with pytest.raises(RequestError, match="request 0 is 'hello', not a GuidedRequest"):
        decoder.session().submit("hello")


def test_text_becomes_a_prompt_as_it_is_rendered_elsewhere(decoder, toy):
    system, user = Message("system", "be brief"), Message("user", "hello")
    assert decoder.prompt("hello") == tuple(render(toy.tokenizer, [user]))
    assert decoder.prompt([system, user]) == tuple(render(toy.tokenizer, [system, user]))
    for wrong in (None, [], 5, ["hello"], [{"role": "user", "content": "hello"}]):
        with pytest.raises(RequestError, match=r'give text, or messages: \[Message\("system"'):
            decoder.prompt(wrong)


def test_what_cannot_be_loaded_is_told_before_anything_is(toy, tmp_path):
    for arms, dtype, message in (
        ({}, "bf16", "dtype is 'bf16'; hint: it is one of bfloat16"),
        ({"kind": tmp_path / "gone"}, "float32", "ARM 'kind': there is no folder .*gone"),
    ):
        with pytest.raises(GenarmError, match=message):
            load_decoder(str(toy.folder), arms, dtype=dtype)


def test_ids_of_any_sequence_are_one_prompt():
    assert GuidedRequest([1, 2]) == GuidedRequest((1, 2)) == GuidedRequest(tuple(np.arange(1, 3)))


def test_every_field_is_documented_below_it():
    """The reference shows these strings; a field without one would not be shown."""
    tree = ast.parse(inspect.getsource(request))
    for node in [n for n in tree.body if isinstance(n, ast.ClassDef)]:
        for field, below in zip(node.body, [*node.body[1:], None], strict=True):
            if isinstance(field, ast.AnnAssign):
                documented = isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
                assert documented, f"{node.name}.{ast.unparse(field.target)}"
