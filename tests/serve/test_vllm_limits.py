"""Before vLLM's server: a request without the key is not read, and a body keeps to its time and size."""

import asyncio
import json
from dataclasses import replace

import pytest

from genarm.serve.lineup import ServedArm
from genarm.serve.vllm_body import SERVED, write_served
from genarm.serve.vllm_middleware import KEY, MAX_BODY, GuidanceField
from genarm.types import Champion

PART = b'{"model": "nobody", '
PARTS = [PART, b'"prompt": "hello"}']


class Asked:
    """One request of a middleware: what was read of it before the application had it, and the answer."""

    def __init__(self, path="/v1/completions", parts=PARTS, key="", **settings) -> None:
        self.parts, self.read, self.had = list(parts), 0, None
        self.status, self.body, self.headers = 0, b"", {}
        asked = [(b"authorization", key.encode())] if key else []
        middleware = GuidanceField(self.app)
        middleware.limits = replace(middleware.limits, **settings)
        scope = {"type": "http", "method": "POST", "path": path, "headers": asked, "app": self}
        self.state = None
        asyncio.run(asyncio.wait_for(middleware(scope, self.receive, self.send), 10))

    async def app(self, scope, receive, send) -> None:
        self.had = self.read
        self.body = (await receive())["body"]

    async def receive(self):
        self.read += 1
        if not self.parts:
            await asyncio.sleep(60)
        part = self.parts.pop(0)
        return {"type": "http.request", "body": part, "more_body": len(part) > 0 and not part.endswith(b"}")}

    async def send(self, message) -> None:
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], dict(message["headers"])
        else:
            self.body += message["body"]

    @property
    def says(self) -> str:
        return json.loads(self.body)["error"]["message"]


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    kind = ServedArm("kind", Champion(3, "m", "", 0.8, "contrast"))
    monkeypatch.setenv(SERVED, write_served("toy", {"kind": kind}))
    monkeypatch.setenv(MAX_BODY, "2048")
    monkeypatch.delenv(KEY, raising=False)


@pytest.mark.parametrize("key", ["", "secret", "Bearer", "Bearer other", "Basic secret", "Bearer sécret"])
@pytest.mark.parametrize("path", ["/v1/completions", "/v1/chat/completions"])
def test_without_the_key_nothing_is_read_and_no_arm_is_named(monkeypatch, path, key):
    monkeypatch.setenv(KEY, "secret")
    asked = Asked(path, key=key)
    assert asked.had == 0 and asked.body == PART, "passed on, for vLLM to answer 401"


@pytest.mark.parametrize("path", ["/tokenize", "/detokenize"])
def test_where_vllm_asks_no_key_the_answer_to_none_is_ours(monkeypatch, path):
    monkeypatch.setenv(KEY, "secret")
    asked = Asked(path, key="Bearer other")
    assert (asked.status, asked.read, asked.had) == (401, 0, None)
    assert Asked(path, [b"{}"], key="Bearer secret").body == b"{}"


@pytest.mark.parametrize("key", ["Bearer secret", "bearer secret"])
def test_with_the_key_the_body_is_read(monkeypatch, key):
    monkeypatch.setenv(KEY, "secret")
    asked = Asked(key=key)
    assert (asked.status, asked.had) == (404, None) and "'nobody' is not served" in asked.says


def test_where_nothing_is_guided_the_key_does_not_matter(monkeypatch):
    monkeypatch.setenv(KEY, "secret")
    asked = Asked("/invocations")
    assert (asked.status, asked.read, asked.had) == (404, 0, None), "vLLM asks no key there"


@pytest.mark.parametrize("path", ["/v1/completions", "/tokenize"])
def test_a_body_that_is_too_long_is_read_to_its_end_and_dropped(path):
    parts = [PART, b" " * 1500, b" " * 1500, b"{}"]
    asked = Asked(path, parts)
    assert (asked.status, asked.read, asked.had) == (413, 4, None)
    assert asked.says == f"the body has {len(PART) + 3002} bytes, and 2048 are the most"
    assert Asked(path, [PART, b'"prompt": "' + b"a" * 1500 + b'"}']).status == (404 if "v1" in path else 0)


def test_a_body_that_does_not_come_in_time_is_told_so():
    asked = Asked(parts=[PART], body_seconds=0.05)
    assert (asked.status, asked.had) == (408, None)
    assert asked.says == "the body did not arrive within 0.05 seconds"
    assert asked.headers[b"connection"] == b"close"
