"""The routes of comparisons: two responses, the vote on them, and the erasure of a user."""

import asyncio
import re
from collections.abc import Iterator
from contextlib import contextmanager

from fastapi import FastAPI, Request
from pydantic import ValidationError
from starlette.responses import JSONResponse, Response

from genarm.errors import GenarmError
from genarm.feedback.store import Answered, Expired, Store, Unknown
from genarm.serve.body import read_body
from genarm.serve.compare_body import USER, CompareBody, VoteBody
from genarm.serve.comparing import compare, revealed, shown
from genarm.serve.errors import ApiError, invalid
from genarm.serve.keys import Caller
from genarm.serve.reading import read_bytes
from genarm.serve.schema import publish, takes
from genarm.serve.service import Service
from genarm.serve.streaming import unless_gone

ID = re.compile(r"[0-9a-f]{32}")
ANEW = "ask for a new one: POST /v1/comparisons"
REFUSED: dict[type[GenarmError], tuple[int, str]] = {
    Unknown: (404, "comparison_not_found"),
    Answered: (409, "already_answered"),
    Expired: (410, "comparison_expired"),
}


def add_comparisons(app: FastAPI, service: Service, store: Store) -> None:
    """Ask people which of two responses they prefer, and keep the votes in a store."""

    @contextmanager
    def called(request: Request) -> Iterator[Caller]:
        caller = service.keys.caller(request.headers.get("authorization"))
        with service.keys.admitted(caller), _in_words():
            yield caller

    @app.post("/v1/comparisons", openapi_extra=takes(CompareBody))
    async def ask(request: Request) -> Response:
        if service.stopping:
            raise ApiError(503, "the server is stopping", code="stopping", headers={"Connection": "close"})
        with called(request) as caller:
            body = read_body(CompareBody, await read_bytes(request, service.settings))
            made = await unless_gone(request.receive, compare(service, store, body, caller.key.name))
            return JSONResponse(shown(made))

    @app.post("/v1/comparisons/{id}", openapi_extra=takes(VoteBody))
    async def vote(request: Request, id: str) -> Response:
        with called(request) as caller:
            if not ID.fullmatch(id):
                raise Unknown("there is no such comparison", hint="vote with the id that was told")
            body = read_body(VoteBody, await read_bytes(request, service.settings))
            name = caller.key.name
            made = await asyncio.to_thread(store.vote, id, name, body.user, body.choice, body.reason)
            return JSONResponse(revealed(made, body.choice))

    @app.delete("/v1/feedback/users/{user:path}")
    async def erase(request: Request, user: str) -> Response:
        with called(request) as caller:
            try:
                USER.validate_python(user)
            except ValidationError as error:
                raise invalid(f"user: {error.errors()[0]['msg']}", "user") from None
            count = await asyncio.to_thread(store.erase, user, caller.key.name)
            return JSONResponse({"object": "erasure", "user": user, "deleted": count})

    publish(app, CompareBody, VoteBody)


@contextmanager
def _in_words() -> Iterator[None]:
    """What the store raises, as the API tells it."""
    try:
        yield
    except (Unknown, Answered, Expired) as error:
        status, code = REFUSED[type(error)]
        raise ApiError(status, f"{error.message}; {ANEW}", code=code) from None
    except GenarmError as error:
        if not error.retryable:
            raise
        told = "votes cannot be kept at the moment: the store does not answer"
        raise ApiError(503, told, code="store_unavailable", headers={"Retry-After": "5"}) from error
