"""Middleware of vLLM's server: it translates bodies, and answers name their versions, which may change."""

import hmac
import os

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from genarm.serve.envelope import request_id
from genarm.serve.errors import ApiError, ClientGone, unknown_key
from genarm.serve.reading import read_bytes
from genarm.serve.settings import ServeSettings
from genarm.serve.vllm_body import SERVED, VllmBody, as_vllm_takes_it, read_served
from genarm.serve.vllm_rewards import ToldRewards, check_told, spelling_of
from genarm.serve.vllm_rewriting import Rewriting
from genarm.serve.vllm_routes import ARMS, is_ours, told
from genarm.serve.vllm_swap import Swapper

KEY = "VLLM_API_KEY"
MAX_BODY = "GENARM_MAX_BODY"
COMPLETIONS = ("/v1/chat/completions", "/v1/completions")
TOKENS = ("/tokenize", "/detokenize")
NOT_GUIDED = ApiError(404, f"nothing is guided at this address; ask {' or '.join(COMPLETIONS)}")
READS = ("GET", "HEAD", "OPTIONS")  # what draws nothing, at whatever address


class GuidanceField:
    """Translates the bodies of completions, and answers those that it refuses.

    vLLM draws responses at other addresses, too, where a body would not be translated and `guided` would be
    the base alone. So there is nothing at any address that is not named here, in this version or a later one.
    vLLM looks at the key after this; so a request without it is passed on unread, and vLLM says 401. Where
    vLLM would not look at it, this does.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.swapper: Swapper | None = None
        self.key = os.environ.get(KEY, "")
        self.limits = ServeSettings(max_body=int(os.environ.get(MAX_BODY, ServeSettings().max_body)))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] == "lifespan":
            async with self._of(scope).listening():
                await self.app(scope, receive, send)
            return
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        if scope["type"] != "http" or self._is_vllms(scope, path):
            await self.app(scope, receive, send)
            return
        try:
            if path in TOKENS and not self._knows(scope):
                raise unknown_key()
            if path in COMPLETIONS + TOKENS:
                await self._pass_on(path, scope, receive, send)
                return
            if scope["method"] not in READS:
                raise NOT_GUIDED
            answer = await told(path, self._of(scope), Request(scope))
        except ClientGone:
            return
        except ApiError as error:
            answer = JSONResponse(error.body(), error.status, headers=error.headers)
        answer.headers["x-request-id"] = request_id(Headers(scope=scope).get("x-request-id", ""))
        await answer(scope, receive, send)

    def _is_vllms(self, scope: Scope, path: str) -> bool:
        """Whether vLLM answers a request as it came: what reads, and what has not the key that it needs."""
        reads = scope["method"] in READS and (not is_ours(path) or scope["method"] == "OPTIONS")
        return reads or (path in (ARMS, *COMPLETIONS) and not self._knows(scope))

    async def _pass_on(self, path: str, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a body on. Raises ApiError for one that is not served, ClientGone where it does not come."""
        data = await read_bytes(Request(scope, receive), self.limits)
        if path in TOKENS:
            await self.app(*_with_body(data, scope, receive), send)
            return
        swapper = self._of(scope)
        async with swapper.gate.passing():
            body = as_vllm_takes_it(data, swapper.lineup)
            told = await self._told(body, swapper, path == COMPLETIONS[0]) if body.tells_rewards else None
            guided = "yes" if body.guide.versions else "no"
            versions = ",".join(f"{d}={v}" for d, v in body.guide.versions.items())

            async def named(message: Message) -> None:
                if message["type"] == "http.response.start":
                    if message["status"] == 200:
                        swapper.metrics.answers.labels(guided).inc(body.responses)
                    headers = [*message.get("headers", ()), (b"x-genarm-versions", versions.encode())]
                    message = {**message, "headers": headers}
                await send(message)

            content, sending = (told.body, Rewriting(told, named)) if told else (body.content, named)
            await self.app(*_with_body(content, scope, receive), sending)
            if told and body.guide.versions:
                for kl in told.kl():
                    swapper.metrics.kl.observe(kl)

    async def _told(self, body: VllmBody, swapper: Swapper, chat: bool) -> ToldRewards:
        """What tells the rewards of a request. Raises ApiError for one that excludes them."""
        check_told(body.fields, chat=chat)
        spelling = spelling_of(swapper.state.engine_client.renderer.tokenizer)
        return ToldRewards(body.fields, body.guide, await swapper.told_arms(), spelling, chat)

    def _of(self, scope: Scope) -> Swapper:
        if self.swapper is None:
            self.swapper = Swapper(read_served(os.environ[SERVED]), scope["app"].state)
        return self.swapper

    def _knows(self, scope: Scope) -> bool:
        """Whether a request has the key, where there is one."""
        scheme, _, given = Headers(scope=scope).get("authorization", "").partition(" ")
        same = hmac.compare_digest(given.encode(), self.key.encode())
        return not self.key or (scheme.lower() == "bearer" and same)


def _with_body(body: bytes, scope: Scope, receive: Receive) -> tuple[Scope, Receive]:
    """A request that has this body in place of its own, which is read."""
    headers = [(name, value) for name, value in scope["headers"] if name != b"content-length"]
    sent = False

    async def translated() -> Message:
        nonlocal sent
        if sent:  # from now on the client can only go away
            return await receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return {**scope, "headers": [*headers, (b"content-length", str(len(body)).encode())]}, translated
