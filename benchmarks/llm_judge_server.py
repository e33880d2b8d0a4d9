"""A server of chat completions that prefers the longer answer, and fails in one of five ways now and then."""

import json
import random
import re
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

FAILURES = ("429", "500", "cut", "junk", "slow")
SLOW = 3.0  # seconds, above the judge's timeout
_FENCED = re.compile(r"<text (\w{10})>\n(.*?)\n</text \1>", re.DOTALL)


class FailingServer(ThreadingHTTPServer):
    """`share` of its answers fail, drawn by a seed; it counts what it was asked and what it answered."""

    request_queue_size = 256
    daemon_threads = True

    def __init__(self, share: float, latency: float, seed: int = 0) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.share, self.latency = share, latency
        self.url = f"http://127.0.0.1:{self.server_address[1]}/v1"
        self.asked, self.failed = Counter[str](), Counter[str]()
        self.answered = Counter[str]()  # by message: whole answers that were sent
        self._random, self._lock = random.Random(seed), threading.Lock()

    def start(self) -> None:
        """Serve in a thread of its own."""
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def drawn(self, message: str) -> str | None:
        """The way in which this answer fails, None where it does not."""
        with self._lock:
            self.asked[message] += 1
            way = self._random.choice(FAILURES) if self._random.random() < self.share else None
            if way:
                self.failed[way] += 1
            return way

    def sent(self, message: str) -> None:
        """A whole answer was sent."""
        with self._lock:
            self.answered[message] += 1

    def handle_error(self, *_: object) -> None:
        """Whoever asked has been killed, or waits no longer."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FailingServer

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        message = request["messages"][0]["content"]
        way = self.server.drawn(message)
        time.sleep(SLOW if way == "slow" else self.server.latency)
        if way == "429":
            self._send(b"{}", 429, {"Retry-After": "0.1"})
        elif way == "500":
            self._send(b'{"error": {"message": "out of order"}}', 500)
        elif way == "junk":
            self._send(b"<html>", 200)
        else:
            body = json.dumps(_completion(message)).encode()
            self._send(body, 200, cut=way == "cut")
            if way is None:
                self.server.sent(message)

    def _send(
        self, body: bytes, status: int, headers: dict[str, str] | None = None, cut: bool = False
    ) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if cut else body)
        self.close_connection = cut

    def log_message(self, *arguments: object) -> None:
        pass


def _completion(message: str) -> dict[str, Any]:
    """The verdict on a message: the longer of the two answers, with probability 0.9."""
    _, a, b = (text for _, text in _FENCED.findall(message))
    tops = [("A", -0.105), ("B", -2.303)] if len(a) > len(b) else [("B", -0.105), ("A", -2.303)]
    listed = [{"token": token, "logprob": value} for token, value in tops]
    content = [{"token": tops[0][0], "logprob": -0.105, "top_logprobs": listed}]
    choice = {"index": 0, "message": {"content": tops[0][0]}, "logprobs": {"content": content}}
    usage = {"prompt_tokens": len(message) // 4, "completion_tokens": 1}
    return {"id": "1", "model": "longer-1", "choices": [choice], "usage": usage}
