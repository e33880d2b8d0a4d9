"""What vLLM is asked: weights by the model's name or the body's own, and refusals in OpenAI's form."""

import asyncio
import json

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from genarm.serve.body import CompletionBody, read_body
from genarm.serve.errors import ApiError
from genarm.serve.lineup import ServedArm
from genarm.serve.vllm_body import SERVED, read_served, write_served
from genarm.serve.vllm_middleware import GuidanceField
from genarm.types import Champion

ARMS = {
    "kind": ServedArm("kind", Champion(3, "m", "", 0.8, "contrast")),
    "curt": ServedArm("curt", Champion(1, "m", "", 0.4, "sum")),
}
GUIDED = {"guidance.contrast.kind": 0.8, "guidance.sum.curt": 0.4}
OTHERS = (
    "/v1/responses",
    "/v1/messages",
    "/v1/chat/completions/batch",
    "/inference/v1/generate",
    "/invocations",
)


async def echo(request: Request) -> JSONResponse:
    body = await request.body()
    assert int(request.headers["content-length"]) == len(body)
    return JSONResponse({"body": body.decode()})


def sent(app, method: str, path: str, content: bytes, below: str = "") -> httpx.Response:
    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(app=app, root_path=below)
        async with httpx.AsyncClient(transport=transport, base_url="http://vllm") as client:
            return await client.request(method, path, content=content)

    return asyncio.run(send())


@pytest.fixture
def ask(monkeypatch):
    monkeypatch.setenv(SERVED, write_served("toy", ARMS))
    paths = ("/v1/chat/completions", "/tokenize", *OTHERS)
    routes = [Route(path, echo, methods=["POST", "PUT", "GET"]) for path in paths]
    app = Starlette(routes=routes)
    app.add_middleware(GuidanceField)

    def ask(content: bytes, path: str = "/v1/chat/completions", method: str = "POST") -> httpx.Response:
        return sent(app, method, path, content)

    return ask


def test_what_is_served_is_told_by_the_environment():
    lineup = read_served(write_served("toy", ARMS))
    assert lineup.models() == ["base", "guided", "guided:kind@3", "guided:curt@1"]
    assert lineup.arms["kind"].champion.guidance == "contrast"


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({"model": "base"}, {}),
        ({"model": "guided"}, GUIDED),
        ({"model": "guided:curt@1"}, {"guidance.sum.curt": 0.4}),
        ({"model": "guided", "guidance": {"kind": 1}}, {"guidance.contrast.kind": 1.0}),
        ({"model": "guided", "guidance": {"kind": 0, "curt": 0}}, {}),
        ({"model": "guided", "guidance": None, "vllm_xargs": {"mine": 1}}, GUIDED | {"mine": 1}),
    ],
)
def test_guidance_becomes_arguments_of_vllm(ask, fields, wanted):
    answer = ask(json.dumps(fields | {"stream": True, "prompt": "ü"}).encode())
    assert answer.status_code == 200
    got = json.loads(answer.json()["body"])
    assert got == {"model": fields["model"], "stream": True, "prompt": "ü", "vllm_xargs": wanted}


@pytest.mark.parametrize(
    ("fields", "status", "says"),
    [
        ({"model": "guide"}, 404, "the model 'guide' is not served; these are: base, guided"),
        (
            {"model": "base", "guidance": {"kind": 1}},
            400,
            "guidance names 'kind', which does not guide 'base'",
        ),
        ({"model": "guided", "guidance": {"rude": 1}}, 400, "guidance names 'rude'"),
        ({"model": "guided", "guidance": {"kind": -1}}, 400, "guidance.kind is no number from 0"),
        ({"model": "guided", "guidance": {"kind": float("nan")}}, 400, "guidance.kind is no number from 0"),
        ({"model": "guided", "guidance": {"kind": True}}, 400, "guidance.kind is no number from 0"),
        ({"model": "guided", "guidance": [1]}, 400, "guidance is no object of weights"),
        ({"model": "guided", "guidance_rewards": "yes"}, 400, "guidance_rewards is neither true nor false"),
        ({"model": "guided", "use_beam_search": True}, 400, "beam search is not guided"),
        (
            {"model": "base", "use_beam_search": True, "guidance_rewards": True},
            400,
            "beam search is not guided",
        ),
        ({"model": "guided", "vllm_xargs": 3}, 400, "vllm_xargs is no object"),
        (
            {"model": "base", "vllm_xargs": {"guidance.sum.kind": 1}},
            400,
            "vllm_xargs has 'guidance.sum.kind': name weights in guidance",
        ),
    ],
)
def test_what_cannot_be_served_is_refused_as_openai_does(ask, fields, status, says):
    answer = ask(json.dumps(fields).encode())
    assert answer.status_code == status
    assert says in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("content", "says", "param"),
    [
        (b'{"guidance": {"kind": 1}}', "model: Field required", "model"),
        (b'{"model": null}', "model: Input should be a valid string", "model"),
        (b'{"model": 3}', "model: Input should be a valid string", "model"),
        (b'{"model": "guided", "model": null}', "model: Input should be a valid string", "model"),
        (b"[1]", "Input should be an object", None),
        (b"", "Invalid JSON", None),
        (b"{", "Invalid JSON", None),
        (b"[" * 100_000, "Invalid JSON", None),
        ('{"model": "guided"}'.encode("utf-16"), "Invalid JSON", None),
        (b'{"model": "guided", "seed": 1' + b"0" * 5000 + b"}", "Invalid JSON", None),
    ],
)
def test_a_body_without_a_model_is_refused_as_the_built_in_engine_does(ask, content, says, param):
    answer = ask(content)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert says in error["message"] and (error["param"], error["type"]) == (param, "invalid_request_error")
    with pytest.raises(ApiError) as refused:
        read_body(CompletionBody, content)
    assert refused.value.status == 400
    if param:
        assert (refused.value.message, refused.value.param) == (error["message"], param)


def test_token_ids_and_what_draws_nothing_pass(ask):
    content = b'{"model": "guided", "guidance": {"kind": 1}}'
    assert ask(content, "/tokenize").json()["body"].encode() == content
    assert ask(b"{}", "/v1/responses", "GET").status_code == 200


@pytest.mark.parametrize("method", ["POST", "PUT"])
@pytest.mark.parametrize("path", [*OTHERS, "/v1/chat/completions/", "/nothing"])
def test_where_vllm_would_draw_without_guidance_there_is_nothing(ask, path, method):
    answer = ask(b'{"model": "guided"}', path, method)
    assert answer.status_code == 404
    assert answer.json()["error"] == {
        "message": "nothing is guided at this address; ask /v1/chat/completions or /v1/completions",
        "type": "not_found_error",
        "param": None,
        "code": None,
    }


def test_a_path_below_which_a_proxy_has_the_server_is_no_part_of_the_address(monkeypatch):
    monkeypatch.setenv(SERVED, write_served("toy", ARMS))
    app = Starlette(routes=[Route("/v1/completions", echo, methods=["POST"])])
    app.add_middleware(GuidanceField)
    answers = [
        sent(app, "POST", path, b'{"model": "guided"}', "/llm")
        for path in ("/llm/v1/completions", "/v1/completions", "/llm/v1/responses")
    ]
    assert [answer.status_code for answer in answers] == [200, 200, 404]
    assert all(json.loads(a.json()["body"])["vllm_xargs"] == GUIDED for a in answers[:2])
