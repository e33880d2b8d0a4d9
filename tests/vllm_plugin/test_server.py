"""vLLM's own server by the command of `genarm serve --engine vllm`: guided answers, models, refusals."""

import json

import pytest

pytest.importorskip("vllm.sampling_params", reason="vLLM is not installed here: make serve-vllm")

from served_toy import served_toy

from genarm.decoding import GuidedRequest, load_decoder
from genarm.types import Message

pytestmark = [pytest.mark.slow, pytest.mark.vllm, pytest.mark.filterwarnings("default")]
TEXT = [{"role": "user", "content": "How was it?"}]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with served_toy(tmp_path_factory.mktemp("server")) as served:
        yield served


@pytest.fixture
def toy(server):
    return server[0]


@pytest.fixture
def client(server):
    return server[1]


def test_a_request_that_names_no_temperature_gets_the_one_the_champions_were_decided_at(client):
    """Which is 0 here, where vLLM's own would be 1."""
    body = {"model": "guided", "messages": TEXT, "max_tokens": 12}
    asked = [body | more for more in ({}, {}, {"temperature": 0})]
    texts = [client.post("/v1/chat/completions", json=one).json()["choices"][0]["message"] for one in asked]
    assert texts[0]["content"] == texts[1]["content"] == texts[2]["content"]


def test_answers_are_those_of_the_built_in_engine(toy, client):
    decoder = load_decoder(
        str(toy.folder), {"kind": toy.arms["all"], "curt": toy.arms["top"]}, dtype="float32"
    )
    prompt = decoder.prompt([Message("user", TEXT[0]["content"])])
    both = {"kind": "contrast", "curt": "sum"}
    for fields, weights in (
        ({"model": "base"}, {}),
        ({"model": "guided"}, {"kind": 0.8, "curt": 0.4}),
        ({"model": "guided:curt@1"}, {"curt": 0.4}),
        ({"model": "guided", "guidance": {"kind": 1.5}}, {"kind": 1.5}),
    ):
        guidance = {dimension: both[dimension] for dimension in weights}
        (wanted,) = decoder.generate(
            [GuidedRequest(prompt, weights, temperature=0.0, max_new_tokens=12, guidance=guidance)]
        )
        asked = fields | {"temperature": 0, "max_tokens": 12, "return_token_ids": True}
        answer = client.post("/v1/chat/completions", json=asked | {"messages": TEXT})
        assert answer.status_code == 200, answer.text
        assert tuple(answer.json()["choices"][0]["token_ids"]) == wanted.tokens
        assert answer.json()["usage"]["completion_tokens"] == len(wanted.tokens)
        plain = client.post("/v1/completions", json=asked | {"prompt": list(prompt), "stream": True})
        events = [json.loads(line[6:]) for line in plain.text.splitlines() if line.startswith("data: {")]
        chunks = [event["choices"][0].get("token_ids") or [] for event in events if event["choices"]]
        assert tuple(token for chunk in chunks for token in chunk) == wanted.tokens


def test_models_are_listed(client):
    listed = [model["id"] for model in client.get("/v1/models").json()["data"]]
    assert listed == ["base", "guided", "guided:kind@3", "guided:curt@1"]


@pytest.mark.parametrize(
    ("fields", "status", "says"),
    [
        ({"model": "guided", "guidance": {"rude": 1}}, 400, "guidance names 'rude'"),
        ({"model": "nobody"}, 404, "the model 'nobody' is not served"),
        ({"model": "base", "vllm_xargs": {"guidance.sum.kind": 1}}, 400, "name weights in guidance"),
    ],
)
def test_weights_that_cannot_be_served_are_refused(client, fields, status, says):
    answer = client.post("/v1/chat/completions", json=fields | {"messages": TEXT, "max_tokens": 1})
    assert answer.status_code == status, answer.text
    assert says in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "path",
    ("/v1/responses", "/v1/messages", "/v1/chat/completions/batch", "/inference/v1/generate", "/invocations"),
)
def test_nothing_is_drawn_where_it_would_not_be_guided(client, path):
    answer = client.post(path, json={"model": "guided", "messages": TEXT, "input": "hello", "max_tokens": 1})
    assert answer.status_code == 404 and "nothing is guided at this address" in answer.text


def test_arms_readiness_ids_and_metrics_are_told(client):
    arms = client.get("/v1/arms").json()
    assert [(a["dimension"], a["version"], a["weight"]) for a in arms["data"]] == [
        ("kind", 3, 0.8),
        ("curt", 1, 0.4),
    ]
    assert (arms["context"], arms["defaults"]["temperature"]) == (256, 0.0)
    assert client.get("/ready").json() == {"status": "ready"}
    asked = {"model": "guided", "messages": TEXT, "max_tokens": 1, "n": 2, "temperature": 1}
    answer = client.post("/v1/chat/completions", json=asked, headers={"x-request-id": "mine-1"})
    assert answer.status_code == 200 and answer.headers.get_list("x-request-id") == ["mine-1"]
    metrics = client.get("/metrics").text
    assert 'genarm_responses_total{guided="yes"}' in metrics and "vllm:" in metrics
    assert 'genarm_arm_version{dimension="kind"} 3.0' in metrics
    tokens = client.post("/tokenize", json={"model": "guided", "prompt": "hello"})
    assert tokens.status_code == 200 and tokens.json()["count"] > 0
