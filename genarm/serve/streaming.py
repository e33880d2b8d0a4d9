"""Answers over HTTP that end with their client: as server-sent events, or whole."""

import asyncio
import json
from collections.abc import Coroutine
from contextlib import ExitStack
from typing import Any, TypeVar

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from genarm.serve.errors import ApiError, ClientGone
from genarm.serve.service import Asked
from genarm.serve.worker import Drawn

T = TypeVar("T")


async def unless_gone(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, which is cancelled as soon as the client has gone; raises ClientGone then."""
    task, gone = asyncio.create_task(work), asyncio.create_task(_disconnect(receive))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientGone
        return task.result()
    finally:
        task.cancel()
        gone.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def _disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def event(value: object) -> bytes:
    """A value as a server-sent event."""
    return b"data: " + json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"


class EventStream(Response):
    """A request that was accepted, as server-sent events; `held` is let go at the end, whatever it is."""

    def __init__(self, asked: Asked, held: ExitStack, headers: dict[str, str]) -> None:
        self.asked, self.held = asked, held
        self.status_code, self.background = 200, None
        self.init_headers(
            {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache",
             "x-accel-buffering": "no", **headers}
        )  # fmt: skip

    def init_headers(self, headers: Any = None) -> None:
        """No content-length: it is not known."""
        self.raw_headers = [
            (name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        with self.held:
            await unless_gone(receive, self._send(send))

    async def _send(self, send: Send) -> None:
        asked = self.asked
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})

        async def tell(data: bytes, more: bool = True) -> None:
            await send({"type": "http.response.body", "body": data, "more_body": more})

        try:
            left = asked.service.settings.answer_seconds
            async with asyncio.timeout(left):
                await tell(b"".join(map(event, asked.form.opening(len(asked.choices)))))
                async for drawn in asked.events():
                    choice = asked.choices[drawn.choice]
                    if isinstance(drawn, Drawn):
                        chunk = asked.form.piece(choice, drawn)
                    else:
                        chunk = asked.form.closing(drawn.choice, drawn.response)
                    if chunk:
                        await tell(event(chunk))
            if asked.form.body.usage_streams:
                await tell(event(asked.form.usage_chunk(asked.usage)))
            await tell(b"data: [DONE]\n\n", more=False)
        except TimeoutError:
            await tell(event(asked.too_long().body()), more=False)
        except ApiError as error:
            await tell(event(error.body()), more=False)
