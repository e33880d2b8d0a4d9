"""Middleware of vLLM's server: it translates bodies, and answers name their versions, which may change."""

import os

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from genarm.serve.errors import ApiError
from genarm.serve.lineup import Guide
from genarm.serve.vllm_body import SERVED, as_vllm_takes_it, read_served
from genarm.serve.vllm_swap import Swapper

COMPLETIONS = ("/v1/chat/completions", "/v1/completions")
TOKENS = ("/tokenize", "/detokenize")
NOT_GUIDED = ApiError(404, f"nothing is guided at this address; ask {' or '.join(COMPLETIONS)}")
READS = ("GET", "HEAD", "OPTIONS")  # what draws nothing, whatever the address


class GuidanceField:
    """Translates the bodies of completions, and answers those that it refuses.

    vLLM draws responses at other addresses, too, where a body would not be translated and `guided` would be
    the base alone. So there is nothing at any address that is not named here, in this version or a later one.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.swapper: Swapper | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        swapper = self._of(scope)
        if scope["type"] == "lifespan":
            async with swapper.listening():
                await self.app(scope, receive, send)
            return
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        if scope["type"] != "http" or scope["method"] in READS or path in TOKENS:
            await self.app(scope, receive, send)
            return
        if path not in COMPLETIONS:
            await _told(NOT_GUIDED, scope, receive, send)
            return
        parts, more = [], True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            parts.append(message.get("body", b""))
            more = message.get("more_body", False)
        async with swapper.gate.passing():
            try:
                body, guide = as_vllm_takes_it(b"".join(parts), swapper.lineup)
            except ApiError as error:
                await _told(error, scope, receive, send)
                return
            await self._pass_on(scope, receive, send, body, guide)

    def _of(self, scope: Scope) -> Swapper:
        if self.swapper is None:
            self.swapper = Swapper(read_served(os.environ[SERVED]), scope["app"].state)
        return self.swapper

    async def _pass_on(
        self, scope: Scope, receive: Receive, send: Send, body: bytes, guide: Guide | None
    ) -> None:
        headers = [(name, value) for name, value in scope["headers"] if name != b"content-length"]
        scope = {**scope, "headers": [*headers, (b"content-length", str(len(body)).encode())]}
        sent = False

        async def translated() -> Message:
            nonlocal sent
            if sent:  # from now on the client can only go away
                return await receive()
            sent = True
            return {"type": "http.request", "body": body, "more_body": False}

        async def named(message: Message) -> None:
            if guide and message["type"] == "http.response.start":
                versions = ",".join(f"{d}={v}" for d, v in guide.versions.items())
                told = (b"x-genarm-versions", versions.encode())
                message = {**message, "headers": [*message.get("headers", ()), told]}
            await send(message)

        await self.app(scope, translated, named)


async def _told(error: ApiError, scope: Scope, receive: Receive, send: Send) -> None:
    await JSONResponse(error.body(), error.status, headers=error.headers)(scope, receive, send)
