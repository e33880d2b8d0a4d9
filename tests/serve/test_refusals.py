"""What cannot be served is a 4xx in OpenAI's form; what a client leaves behind is given up."""

import json
import socket

import httpx
import pytest
from served_toys import ASKED, HELLO, own, running, wait

from genarm.serve.service import Service
from genarm.serve.settings import ServeSettings

CHAT, TEXT = "/v1/chat/completions", "/v1/completions"
GOOD = ASKED | {"messages": HELLO}
LONG = {"max_tokens": 450, "ignore_eos": True}


def error_of(answer: httpx.Response) -> dict:
    """The error, which must have OpenAI's form and an id."""
    assert answer.headers["x-request-id"]
    assert list(answer.json()) == ["error"]
    error = answer.json()["error"]
    assert sorted(error) == ["code", "message", "param", "type"] and error["message"]
    return error


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages.0.role"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}]}, None),
        ({"n": 0}, "n"),
        ({"n": 17}, "n"),
        ({"temperature": -1}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 5000}, None),
        ({"seed": 2**70}, "seed"),
        ({"stop": [""]}, None),
        ({"guidance": {"kind": -1}}, "guidance.kind"),
        ({"guidance": {"kimd": 1}}, "guidance"),
        ({"guidance": {"kind": "1"}}, "guidance.kind"),
        ({"model": "base", "guidance": {"kind": 1}}, "guidance"),
        ({"tools": [{}]}, "tools"),
        ({"frequency_penalty": 1}, "frequency_penalty"),
        ({"top_logprobs": 21, "logprobs": True}, "top_logprobs"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"temprature": 1}, "temprature"),
    ],
)
def test_a_field_that_is_wrong_is_named(client, change, param):
    answer = client.post(CHAT, json=GOOD | change)
    assert answer.status_code == 400, answer.text
    error = error_of(answer)
    assert error["type"] == "invalid_request_error"
    if param:
        assert error["param"] == param


def test_strange_requests_get_a_status_and_no_500(client, service):
    """Cut, huge, deep and foreign bodies; wrong addresses and methods."""
    good = json.dumps(GOOD).encode()
    for body in (
        b"", b"{}", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b'{"model": NaN}', good[:-5], good + b"}",
        good.replace(b'"temperature": 1', b'"temperature": NaN'), good.replace(b"hello", b"\\ud800"),
        good.replace(b'"seed": 5', b'"seed": ' + b"9" * 5000),
        good.replace(b'"temperature": 1', b'"temperature": 1e999'),
    ):  # fmt: skip
        answer = client.post(CHAT, content=body)
        assert answer.status_code == 400, (body[:80], answer.text)
        error_of(answer)
    for method, path, status in (
        ("GET", CHAT, 405), ("POST", "/v1/models", 405), ("GET", "/v1/nothing", 404),
        ("GET", "/v1/models/x", 404),
    ):  # fmt: skip
        answer = client.request(method, path)
        assert answer.status_code == status
        error_of(answer)
    assert client.post(CHAT, content=b"x" * (service.settings.max_body + 1)).status_code == 413
    chunks = (b"x" * 65536 for _ in range(17))  # without a length beforehand
    assert client.post(CHAT, content=chunks).status_code == 413
    assert client.post(CHAT, json=GOOD | {"model": "gpt-9"}).json()["error"]["code"] == "model_not_found"
    assert client.post(CHAT, json=GOOD).status_code == 200


def test_token_ids_that_are_none_are_refused(client):
    for prompt in ([], [[]], "", [300], [-1], ["a", [1]], [1.5]):
        answer = client.post(TEXT, json=ASKED | {"prompt": prompt})
        assert answer.status_code == 400, (prompt, answer.text)
        error_of(answer)


def test_a_websocket_is_not_spoken_and_keeps_no_connection_open(address):
    """With bytes after its head, which the library of WebSockets would wait on without an end."""
    host, port = address.removeprefix("http://").split(":")
    asks = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    key = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
    head = f"GET /health HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n{asks}{key}\r\n"
    with socket.create_connection((host, int(port)), timeout=20) as asked:
        asked.sendall(f"{head}{{}}".encode())
        assert asked.recv(1 << 16).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_goes_frees_its_slot(client, service, address, stream):
    body = json.dumps(GOOD | LONG | {"n": 8, "stream": stream}).encode()
    host, port = address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as gone:
        head = f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
        gone.sendall(head.encode() + body)
        wait(lambda: service.open == 8)
    wait(lambda: service.open == 0)
    wait(lambda: not service.worker._batches)
    assert 'reason="unfinished"' in client.get("/metrics").text
    assert client.post(CHAT, json=GOOD).status_code == 200


def test_time_and_room_have_limits(opened):
    """A request that takes too long ends with an error, one too many is sent away."""
    lineup = opened()
    service = Service(lineup, ServeSettings(max_open=2, answer_seconds=0.05))
    with running(service) as address, httpx.Client(base_url=address, timeout=60) as client:
        answer = client.post(CHAT, json=GOOD | LONG)
        assert answer.status_code == 504 and error_of(answer)["code"] == "timeout"
        with client.stream("POST", CHAT, json=GOOD | LONG | {"stream": True}) as stream:
            last = [line for line in stream.iter_lines() if line][-1]
        assert '"code":"timeout"' in last
        answer = client.post(CHAT, json=GOOD | {"n": 3})
        assert answer.status_code == 503 and answer.headers["retry-after"]
        assert error_of(answer)["code"] == "overloaded"


def test_a_server_that_stops_lets_the_open_answer_end(opened):
    lineup = opened()
    service = Service(lineup)
    body = GOOD | {"max_tokens": 60, "ignore_eos": True, "stream": True}
    text, asked = "", None
    with httpx.Client(timeout=60) as client:
        with running(service) as address, client.stream("POST", address + CHAT, json=body) as stream:
            lines = (line for line in stream.iter_lines() if line)
            next(lines)
            service.stopping = True
            assert httpx.get(address + "/ready").status_code == 503
            asked = httpx.post(address + CHAT, json=GOOD)
            for line in lines:
                if line != "data: [DONE]":
                    text += json.loads(line[6:])["choices"][0]["delta"].get("content", "")
        assert asked.status_code == 503
    assert text == own(lineup, max_new_tokens=60, ignore_eos=True).text
    assert not service.worker.alive


def test_a_fault_of_the_decoder_is_a_500_without_its_words(opened, monkeypatch):
    """And the next request is served."""
    lineup = opened()
    service = Service(lineup)
    policy = lineup.decoder.policy
    with running(service) as address:
        broken = lambda *_: (_ for _ in ()).throw(ValueError("secret"))  # noqa: E731
        with monkeypatch.context() as patch:
            patch.setattr(policy, "step", broken)
            answer = httpx.post(address + CHAT, json=GOOD, timeout=60)
        assert answer.status_code == 500 and "secret" not in answer.text
        error_of(answer)
        assert httpx.post(address + CHAT, json=GOOD, timeout=60).status_code == 200
