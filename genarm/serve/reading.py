"""The bytes of a request's body, within the limits of size and time."""

import asyncio

from fastapi import Request

from genarm.serve.errors import ApiError, ClientGone
from genarm.serve.settings import ServeSettings


async def read_bytes(request: Request, settings: ServeSettings) -> bytes:
    """The body. Raises ApiError for one that is too long, or takes too long to come.

    What is too long is read to its end and dropped, or the client would see a reset in place of the answer.
    """
    data, length = bytearray(), 0
    try:
        async with asyncio.timeout(settings.body_seconds):
            while True:
                message = await request.receive()
                if message["type"] == "http.disconnect":
                    raise ClientGone
                part = message.get("body", b"")
                length += len(part)
                if length <= settings.max_body:
                    data += part
                if not message.get("more_body"):
                    break
    except TimeoutError:
        told = f"the body did not arrive within {settings.body_seconds:g} seconds"
        raise ApiError(408, told, headers={"Connection": "close"}) from None
    if length > settings.max_body:
        raise ApiError(413, f"the body has {length} bytes, and {settings.max_body} are the most")
    return bytes(data)
