"""An answer of vLLM's with the rewards where a client looks for them, on its way out."""

from starlette.types import Message, Send

from genarm.serve.vllm_rewards import ToldRewards

END = b"\n\n"  # of an event


class Rewriting:
    """Sends in place of `send`: a whole answer at its end, a stream event by event, an error as it is."""

    def __init__(self, told: ToldRewards, send: Send) -> None:
        self.told, self.send = told, send
        self.start: Message | None = None  # of a whole answer, whose length is another one
        self.streams = self.is_error = False
        self.waiting = b""

    async def __call__(self, message: Message) -> None:
        """Send a message of the answer, or keep it until it can be told."""
        if message["type"] == "http.response.start":
            kind = dict(message.get("headers", ())).get(b"content-type", b"")
            self.is_error, self.streams = message["status"] != 200, kind.startswith(b"text/event-stream")
            if self.is_error or self.streams:
                await self.send(message)
            else:
                self.start = message
            return
        if self.is_error or message["type"] != "http.response.body":
            await self.send(message)
            return
        self.waiting += message.get("body", b"")
        ended = not message.get("more_body", False)
        if self.streams:
            *events, self.waiting = self.waiting.split(END)
            body = b"".join(self.told.event(event) + END for event in events)
            await self.send({**message, "body": body + (self.waiting if ended else b"")})
        elif ended and self.start is not None:
            body = self.told.answer(self.waiting)
            headers = [(name, value) for name, value in self.start["headers"] if name != b"content-length"]
            await self.send({**self.start, "headers": [*headers, (b"content-length", b"%d" % len(body))]})
            await self.send({**message, "body": body})
