"""Beside what vLLM's server has: arms, readiness, ids of refused requests, and metrics in vLLM's registry."""

import asyncio
import json
from types import SimpleNamespace

import httpx
import pytest
from prometheus_client import REGISTRY, CollectorRegistry
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from genarm.serve.lineup import ServedArm
from genarm.serve.metrics import Metrics
from genarm.serve.page_routes import FOLDER, POLICY
from genarm.serve.vllm_body import SERVED, read_served, write_served
from genarm.serve.vllm_metrics import VllmMetrics
from genarm.serve.vllm_middleware import KEY, GuidanceField
from genarm.types import Champion


def served(version: int) -> str:
    champion = Champion(version, "m", "a" * 64, 0.8, "contrast")
    return write_served("toy", {"kind": ServedArm("kind", champion, pinned=True)})


class Engine:
    """Well, until it is not; refuses every version."""

    def __init__(self) -> None:
        self.well = True

    async def check_health(self) -> None:
        if not self.well:
            raise RuntimeError("dead")

    async def pause_generation(self, **_: object) -> None: ...

    async def resume_generation(self) -> None: ...

    async def collective_rpc(self, method: str, args: tuple[str, str]) -> list[tuple[str, str]]:
        return [("refused", "it has rank 64")]


class Server(GuidanceField):
    """The middleware before an application that answers 200, or 400 to a body that says so."""

    def __init__(self) -> None:
        paths = ("/v1/completions", "/v1/chat/completions", "/v1/arms")
        super().__init__(Starlette(routes=[Route(p, self.answer, methods=["GET", "POST"]) for p in paths]))
        model = SimpleNamespace(max_model_len=256, get_diff_sampling_param=lambda: {"temperature": 0.6})
        models = SimpleNamespace(base_model_paths=[SimpleNamespace(name="base", model_path="/toy")])
        self.app.state = SimpleNamespace(
            engine_client=Engine(),
            vllm_config=SimpleNamespace(model_config=model),
            openai_serving_models=models,
        )

    async def answer(self, request: Request) -> JSONResponse:
        body = await request.body()
        return JSONResponse({"vllm": "401"}, 400 if b"wrong" in body else 200)

    async def asked(self, scope, receive, send) -> None:
        await self(scope | {"app": self.app}, receive, send)

    def ask(self, method: str, path: str, **options) -> httpx.Response:
        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(app=self.asked)
            async with httpx.AsyncClient(transport=transport, base_url="http://vllm") as client:
                return await client.request(method, path, **options)

        return asyncio.run(send())


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv(SERVED, served(3))
    monkeypatch.delenv(KEY, raising=False)
    return Server()


def test_the_arms_are_told_as_the_built_in_engine_tells_them(server, monkeypatch):
    told = server.ask("GET", "/v1/arms").json()
    assert told == {
        "object": "list",
        "base": "toy",
        "identity": {"engine": "vllm"},
        "trial": False,
        "data": [
            {
                "dimension": "kind",
                "version": 3,
                "adapter_sha256": "a" * 64,
                "weight": 0.8,
                "guidance": "contrast",
                "pinned": True,
                "trial": False,
                "model": "guided:kind@3",
                "refused": None,
            }
        ],
        "defaults": {"temperature": 0.6, "max_tokens": None},
        "context": 256,
    }
    monkeypatch.setenv(KEY, "secret")
    closed = Server()
    assert closed.ask("GET", "/v1/arms").json() == {"vllm": "401"}, "left to vLLM"
    assert closed.ask("GET", "/v1/arms", headers={"Authorization": "Bearer secret"}).json() == told


def test_what_a_swap_did_not_serve_is_told_and_counted(server):
    server.ask("GET", "/ready")
    before = REGISTRY.get_sample_value("genarm_swaps_total", {"outcome": "refused"}) or 0
    asyncio.run(server.swapper.swap({"kind": "/new"}, read_served(served(4))))
    [arm] = server.ask("GET", "/v1/arms").json()["data"]
    assert (arm["version"], arm["refused"]) == (3, {"version": 4, "reason": "it has rank 64"})
    assert REGISTRY.get_sample_value("genarm_swaps_total", {"outcome": "refused"}) == before + 1
    assert REGISTRY.get_sample_value("genarm_arm_version", {"dimension": "kind"}) == 3
    asyncio.run(server.swapper.swap({}, read_served(served(5))))
    assert REGISTRY.get_sample_value("genarm_arm_version", {"dimension": "kind"}) == 5
    assert server.ask("GET", "/v1/arms").json()["data"][0]["refused"] is None


def test_it_is_ready_while_the_engine_is_well_without_a_key(server, monkeypatch):
    server.key = "secret"
    assert server.ask("GET", "/ready").json() == {"status": "ready"}
    server.app.state.engine_client.well = False
    answer = server.ask("GET", "/ready")
    assert (answer.status_code, answer.json()) == (503, {"status": "dead"})


def test_the_page_is_that_of_the_built_in_engine_without_a_key(server):
    server.key = "secret"
    for path, name in (("/", "index.html"), ("/page/main.js", "main.js")):
        answer = server.ask("GET", path)
        assert answer.status_code == 200 and answer.content == (FOLDER / name).read_bytes()
        assert answer.headers["content-security-policy"] == POLICY
        again = server.ask("GET", path, headers={"if-none-match": answer.headers["etag"]})
        assert again.status_code == 304
    for path in ("/page/app.py", "/page/%2e%2e/app.py", "/page/"):
        assert server.ask("GET", path).status_code == 404
    assert server.ask("POST", "/").status_code == 404


def test_a_refusal_has_an_id_the_clients_own_where_it_sent_one(server):
    own = server.ask("POST", "/v1/completions", content=b"{}", headers={"x-request-id": "mine-1"})
    assert (own.status_code, own.headers["x-request-id"]) == (400, "mine-1")
    assert server.ask("POST", "/v1/responses").headers["x-request-id"].startswith("req_")


@pytest.mark.parametrize(
    ("fields", "guided", "more"),
    [
        ({"model": "guided", "messages": []}, "yes", 1),
        ({"model": "guided", "n": 3, "prompt": ["a", "b"]}, "yes", 6),
        ({"model": "guided", "n": None, "prompt": [1, 2, 3]}, "yes", 1),
        ({"model": "guided", "prompt": [[1, 2], [3]]}, "yes", 2),
        ({"model": "guided", "prompt": "a", "guidance": {"kind": 0}}, "no", 1),
        ({"model": "base", "prompt": "a", "n": 2}, "no", 2),
        ({"model": "guided", "prompt": "wrong"}, "yes", 0),
    ],
)
def test_responses_are_counted_by_whether_they_are_guided(server, fields, guided, more):
    def counts() -> list[float]:
        return [
            REGISTRY.get_sample_value("genarm_responses_total", {"guided": g}) or 0 for g in ("yes", "no")
        ]

    before = counts()
    server.ask("POST", "/v1/completions", content=json.dumps(fields).encode())
    wanted = [more, 0] if guided == "yes" else [0, more]
    assert [now - old for now, old in zip(counts(), before, strict=True)] == wanted


def test_metrics_have_the_names_that_the_built_in_engine_has():
    registry = CollectorRegistry()
    VllmMetrics(registry)
    own, builtin = ({(m.name, m.documentation) for m in r.collect()} for r in (registry, Metrics().registry))
    assert own and own <= builtin
