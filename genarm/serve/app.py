"""The HTTP of the server: routes, keys, sizes and errors. What is answered is the service's matter."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from genarm import __version__
from genarm.serve.arms import described_arms
from genarm.serve.body import ChatBody, CompletionBody, read_body
from genarm.serve.compare_routes import add_comparisons
from genarm.serve.envelope import Envelope
from genarm.serve.errors import ApiError
from genarm.serve.keys import Caller
from genarm.serve.page_routes import add_compare_page, add_page
from genarm.serve.reading import read_bytes
from genarm.serve.schema import publish, takes
from genarm.serve.service import Service
from genarm.serve.streaming import EventStream, unless_gone


def create_app(service: Service) -> FastAPI:
    """The ASGI application of a service; the worker runs while it does."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        service.worker.start()
        try:
            yield
        finally:
            service.stopping = True
            await asyncio.to_thread(service.worker.stop)

    app = FastAPI(title="genarm", version=__version__, lifespan=lifespan, docs_url=None, redoc_url=None)
    app.add_middleware(Envelope, metrics=service.metrics)
    app.add_exception_handler(ApiError, _api_error)
    app.add_exception_handler(HTTPException, _http_error)
    _add_watching(app, service)
    _add_models(app, service)
    _add_completions(app, service)
    add_page(app)
    publish(app, ChatBody, CompletionBody)
    if service.store:
        add_comparisons(app, service, service.store)
        add_compare_page(app)
    return app


def _api_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return JSONResponse(error.body(), error.status, headers=error.headers)


def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    words = {404: "there is nothing at this address", 405: "this address takes another method"}
    told = ApiError(error.status_code, words.get(error.status_code, str(error.detail)))
    return JSONResponse(told.body(), error.status_code, headers=error.headers)


def _caller(service: Service, request: Request) -> Caller:
    return service.keys.caller(request.headers.get("authorization"))


def _add_watching(app: FastAPI, service: Service) -> None:
    """What says how the server is; without a key."""

    @app.get("/health")
    async def health() -> Response:
        return JSONResponse({"status": "ok"} if service.worker.alive else {"status": "dead"},
                            200 if service.worker.alive else 503)  # fmt: skip

    @app.get("/ready")
    async def ready() -> Response:
        status = "ready" if service.ready else "stopping" if service.stopping else "starting"
        return JSONResponse({"status": status}, 200 if service.ready else 503)

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(service.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


def _add_models(app: FastAPI, service: Service) -> None:
    def described(name: str) -> dict[str, Any]:
        return {"id": name, "object": "model", "created": 0, "owned_by": "genarm"}

    @app.get("/v1/models")
    async def models(request: Request) -> Response:
        _caller(service, request)
        return JSONResponse({"object": "list", "data": [described(m) for m in service.lineup.models()]})

    @app.get("/v1/models/{name}")
    async def model(request: Request, name: str) -> Response:
        _caller(service, request)
        return JSONResponse(described(service.lineup.guide(name, None).model))

    @app.get("/v1/arms")
    async def arms(request: Request) -> Response:
        _caller(service, request)
        lineup, settings = service.lineup, service.settings
        defaults = {"temperature": settings.temperature, "max_tokens": settings.max_tokens}
        told = described_arms(
            lineup, service.refused, trial=settings.trial, context=lineup.decoder.context, defaults=defaults
        )
        return JSONResponse(told)


def _add_completions(app: FastAPI, service: Service) -> None:
    async def complete(request: Request, kind: type[ChatBody] | type[CompletionBody]) -> Response:
        if service.stopping:
            raise ApiError(503, "the server is stopping", code="stopping", headers={"Connection": "close"})
        with ExitStack() as held:
            caller = _caller(service, request)
            held.enter_context(service.keys.admitted(caller))
            body = read_body(kind, await read_bytes(request, service.settings))
            asked = service.begin(body, caller.name)
            held.callback(asked.end)
            versions = ",".join(f"{d}={v}" for d, v in asked.form.guide.versions.items())
            headers = {"x-genarm-versions": versions}
            if not body.stream:
                return JSONResponse(await unless_gone(request.receive, service.whole(asked)), headers=headers)
            await unless_gone(request.receive, asked.start())
            return EventStream(asked, held.pop_all(), headers)

    @app.post("/v1/chat/completions", openapi_extra=takes(ChatBody))
    async def chat(request: Request) -> Response:
        return await complete(request, ChatBody)

    @app.post("/v1/completions", openapi_extra=takes(CompletionBody))
    async def completions(request: Request) -> Response:
        return await complete(request, CompletionBody)
