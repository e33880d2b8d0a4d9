"""Other versions in vLLM's server, with a stand-in for its engine: who waits, what is served, what stays."""

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from genarm.errors import GenarmError
from genarm.serve import vllm_swap
from genarm.serve.lineup import ServedArm
from genarm.serve.vllm_body import SERVED, write_served
from genarm.serve.vllm_gate import Gate
from genarm.serve.vllm_middleware import GuidanceField
from genarm.serve.vllm_swap import SOCKET, order
from genarm.types import Champion


def told(version: int, weight: float = 0.8) -> str:
    return write_served("toy", {"kind": ServedArm("kind", Champion(version, "m", "", weight, "contrast"))})


@dataclass
class Path:
    name: str
    model_path: str


@dataclass
class Models:
    base_model_paths: list[Path] = field(default_factory=lambda: [Path("base", "/toy")])


class Engine:
    """Notes what it is asked; what two workers say of a folder is in its name."""

    def __init__(self) -> None:
        self.calls: list[Any] = []
        self.pauses = True

    async def pause_generation(self, *, mode: str, clear_cache: bool) -> None:
        self.calls.append(("pause", mode, clear_cache))
        if not self.pauses:
            raise RuntimeError("the cache is in use")

    async def resume_generation(self) -> None:
        self.calls.append("resume")

    async def collective_rpc(self, method: str, args: tuple[str, str]) -> list[tuple[str, str]]:
        self.calls.append((method, *args))
        await asyncio.sleep(0.01)
        said = {
            "refused": [("refused", "it has rank 64")] * 2,
            "failed": [("done", ""), ("failed", "no memory")],
        }
        return said.get(args[1].rpartition("/")[2], [("done", "")] * 2)


class Seen(GuidanceField):
    """The middleware, kept where a test finds it."""

    made: ClassVar[list["Seen"]] = []

    def __init__(self, app: Any) -> None:
        super().__init__(app)
        self.made.append(self)


class Server:
    """The application with the middleware, and requests that end when they are let go."""

    def __init__(self) -> None:
        self.app = Starlette(
            routes=[Route("/v1/completions", self.answer, methods=["POST"])], lifespan=self.lifespan
        )
        self.app.add_middleware(Seen)
        self.app.state.engine_client, self.app.state.openai_serving_models = Engine(), Models()
        self.go, self.begun = asyncio.Event(), 0

    @asynccontextmanager
    async def lifespan(self, app: Starlette):
        yield

    async def answer(self, request: Request) -> JSONResponse:
        self.begun += 1
        await self.go.wait()
        return JSONResponse(json.loads(await request.body())["vllm_xargs"])

    @asynccontextmanager
    async def running(self):
        """A client; the application's life begins and ends as uvicorn has it."""
        inbox: asyncio.Queue[dict[str, str]] = asyncio.Queue()
        started = asyncio.Event()

        async def send(message: dict[str, str]) -> None:
            if message["type"] == "lifespan.startup.complete":
                started.set()

        await inbox.put({"type": "lifespan.startup"})
        life = asyncio.create_task(self.app({"type": "lifespan", "app": self.app}, inbox.get, send))
        await started.wait()
        transport = httpx.ASGITransport(app=self.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://vllm") as client:
            yield client
        await inbox.put({"type": "lifespan.shutdown"})
        await life


@pytest.fixture
def socket(tmp_path, monkeypatch):
    monkeypatch.setenv(SERVED, told(3))
    monkeypatch.setenv(SOCKET, str(tmp_path / "swap"))
    return tmp_path / "swap"


def swap(socket, tmp_path, name, version, weight=0.8):
    return asyncio.to_thread(order, socket, {"kind": tmp_path / name}, told(version, weight))


def ask(client):
    return asyncio.create_task(client.post("/v1/completions", json={"model": "guided"}))


async def until(question) -> None:
    while not question():
        await asyncio.sleep(0.001)


def test_a_swap_waits_for_open_requests_and_new_ones_wait_for_it(socket, tmp_path):
    async def play() -> None:
        server = Server()
        async with server.running() as client:
            first = ask(client)
            await until(lambda: server.begun == 1)
            swapping = asyncio.create_task(swap(socket, tmp_path, "new", 4, 0.5))
            await until(lambda: Seen.made[-1].swapper.gate.is_shut)
            second = ask(client)
            await asyncio.sleep(0.1)
            engine = server.app.state.engine_client
            assert engine.calls == [] and server.begun == 1 and not swapping.done()
            server.go.set()
            assert await swapping == {"refused": {}, "failed": {}}
            old, new = await first, await second
        assert (old.headers["x-genarm-versions"], new.headers["x-genarm-versions"]) == ("kind=3", "kind=4")
        assert (old.json(), new.json()) == ({"guidance.contrast.kind": 0.8}, {"guidance.contrast.kind": 0.5})
        folder = str((tmp_path / "new").resolve())
        assert engine.calls == [("pause", "wait", True), ("swap_arm", "kind", folder), "resume"]
        names = [path.name for path in server.app.state.openai_serving_models.base_model_paths]
        assert names == ["base", "guided", "guided:kind@4"]

    asyncio.run(asyncio.wait_for(play(), 60))


def test_a_version_that_is_refused_leaves_the_old_one_and_one_that_failed_leaves_none(socket, tmp_path):
    """What one of two workers did and the other did not is no version: it is served no more, until it is."""

    async def play() -> None:
        server = Server()
        server.go.set()
        async with server.running() as client:
            assert (await swap(socket, tmp_path, "refused", 4))["refused"] == {"kind": "it has rank 64"}
            assert (await ask(client)).headers["x-genarm-versions"] == "kind=3"
            assert (await swap(socket, tmp_path, "failed", 4))["failed"] == {"kind": "no memory"}
            assert (await ask(client)).status_code == 404, "nothing guides"
            await swap(socket, tmp_path, "new", 4)
            assert (await ask(client)).headers["x-genarm-versions"] == "kind=4"
        assert server.app.state.engine_client.calls[-1] == "resume"

    asyncio.run(asyncio.wait_for(play(), 60))


def test_an_engine_that_does_not_pause_is_let_go_on(socket, tmp_path):
    async def play() -> None:
        server = Server()
        server.go.set()
        engine = server.app.state.engine_client
        async with server.running() as client:
            engine.pauses = False
            with pytest.raises(GenarmError, match="the cache is in use"):
                await swap(socket, tmp_path, "new", 4)
            assert engine.calls == [("pause", "wait", True), "resume"]
            assert (await ask(client)).headers["x-genarm-versions"] == "kind=3"

    asyncio.run(asyncio.wait_for(play(), 60))


def test_two_orders_are_carried_out_one_after_the_other(socket, tmp_path):
    async def play() -> None:
        server = Server()
        async with server.running():
            await asyncio.gather(*(swap(socket, tmp_path, "new", number) for number in (4, 5)))
        calls = [call if isinstance(call, str) else call[0] for call in server.app.state.engine_client.calls]
        assert calls == ["pause", "swap_arm", "resume"] * 2

    asyncio.run(asyncio.wait_for(play(), 60))


def test_a_request_that_does_not_end_keeps_the_versions(socket, tmp_path, monkeypatch):
    monkeypatch.setattr(vllm_swap, "DRAIN_SECONDS", 0.1)

    async def play() -> None:
        server = Server()
        async with server.running() as client:
            first = ask(client)
            await until(lambda: server.begun == 1)
            with pytest.raises(GenarmError, match="open requests did not end within 0.1 s"):
                await swap(socket, tmp_path, "new", 4)
            server.go.set()
            assert (await first).headers["x-genarm-versions"] == "kind=3"
            assert (await ask(client)).headers["x-genarm-versions"] == "kind=3"
        assert server.app.state.engine_client.calls == []

    asyncio.run(asyncio.wait_for(play(), 60))


def test_nobody_listens_at_the_socket(tmp_path):
    with pytest.raises(GenarmError, match="did not take other versions: .*No such file"):
        order(tmp_path / "swap", {}, told(3))


def test_a_request_that_is_given_up_leaves_the_gate():
    async def play() -> None:
        gate = Gate()

        async def stay() -> None:
            async with gate.passing():
                await asyncio.sleep(60)

        request = asyncio.create_task(stay())
        await asyncio.sleep(0.01)
        request.cancel()
        async with gate.shut(10):
            pass

    asyncio.run(asyncio.wait_for(play(), 60))
