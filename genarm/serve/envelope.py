"""Around every request: its id, its place in log and metrics, and an answer even where the server fails."""

import logging
import re
import time
import uuid

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from genarm.serve.errors import ClientGone, failed
from genarm.serve.metrics import Metrics

log = logging.getLogger(__name__)

ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
GONE = 499  # in log and metrics, as nginx has it: the client closed the connection


def request_id(given: str) -> str:
    """The id of a request: the client's own where it sent one that a log can take, else a new one."""
    return given if ID.fullmatch(given) else f"req_{uuid.uuid4().hex}"


class Envelope:
    """Middleware outside of all others."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app, self.metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, status = time.monotonic(), 0
        own_id = request_id(Headers(scope=scope).get("x-request-id", ""))

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", []), (b"x-request-id", own_id.encode())]
            await send(message)

        try:
            await self.app(scope, receive, sending)
        except ClientGone:
            status = GONE
        except Exception:
            log.exception("request %s failed", own_id)
            if status:  # a part of the answer is sent: the connection ends without the rest
                raise
            await _tell_failure(sending)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            self.metrics.requests.labels(route, str(status or GONE)).inc()
            seconds = time.monotonic() - began
            log.info("%s %s %s %d %.3fs", own_id, scope["method"], route, status or GONE, seconds)


async def _tell_failure(send: Send) -> None:
    from starlette.responses import JSONResponse

    error = failed()
    answer = JSONResponse(error.body(), error.status)
    await send({"type": "http.response.start", "status": error.status, "headers": answer.raw_headers})
    await send({"type": "http.response.body", "body": answer.body})
