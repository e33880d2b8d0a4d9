"""A server of chat completions on loopback that prefers the longer answer, and misbehaves as it is told."""

import json
import math
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import sleep
from typing import Any

KEY = "sk-this-is-the-secret-key-1234"
_FENCED = re.compile(r"<text (\w{10})>\n(.*?)\n</text \1>", re.DOTALL)


@dataclass(frozen=True)
class Answer:
    """What goes over the wire; with `cut` only half of the body, with `delay` so many seconds late.

    With `drip` seconds between one byte and the next.
    """

    body: Any = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False
    delay: float = 0.0
    drip: float = 0.0


Behaviour = Callable[[int, dict[str, Any]], Answer]


def fenced(request: dict[str, Any]) -> list[str]:
    """What stands between the fences of a message: the conversation, answer A, answer B."""
    return [text for _, text in _FENCED.findall(request["messages"][0]["content"])]


def completion(text: str = "", tops: dict[str, float] | None = None, **more: Any) -> Answer:
    """A chat completion; `tops` are the log-probabilities of its first token."""
    listed = [{"token": token, "logprob": value, "bytes": None} for token, value in (tops or {}).items()]
    content = [{"token": text, "logprob": 0.0, "top_logprobs": listed}]
    body = {
        "id": "1",
        "object": "chat.completion",
        "created": 0,
        "model": "judge-2026-01-01",
        "system_fingerprint": "fp_1",
        "choices": [
            {
                "index": 0,
                "finish_reason": "stop",
                "message": {"role": "assistant", "content": text},
                "logprobs": None if tops is None else {"content": content},
            }
        ],
        "usage": {"prompt_tokens": 100, "completion_tokens": 1, "total_tokens": 101},
    }
    return Answer(body | more)


def prefers_longer(_: int, request: dict[str, Any]) -> Answer:
    """A with probability 0.8 where answer A is the longer one, else 0.2; without logprobs, as text."""
    _, a, b = fenced(request)
    p = 0.8 if len(a) > len(b) else 0.2
    label = "A" if p > 0.5 else "B"
    if not request.get("logprobs"):
        return completion(label)
    return completion(label, {"A": math.log(p), "B": math.log(1 - p)})


class LlmServer:
    """Serves while it is entered; `requests` are the bodies that came, `behave` says what goes back."""

    def __init__(self, behave: Behaviour = prefers_longer) -> None:
        self.behave = behave
        self.requests: list[dict[str, Any]] = []
        self.keys: set[str] = set()
        self.models = Answer({"data": [{"id": "judge"}]})
        self._lock = threading.Lock()

    def __enter__(self) -> "LlmServer":
        ours = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with ours._lock:
                    ours.requests.append(request)
                    ours.keys.add(self.headers.get("Authorization", ""))
                    number = len(ours.requests)
                self._send(ours.behave(number, request))

            def do_GET(self) -> None:
                ours.keys.add(self.headers.get("Authorization", ""))
                self._send(ours.models)

            def _send(self, answer: Answer) -> None:
                sleep(answer.delay)
                body = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
                try:
                    self.send_response(answer.status)
                    for name, value in {"Content-Type": "application/json", **answer.headers}.items():
                        self.send_header(name, value)
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    for piece in [body[i : i + 1] for i in range(len(body))] if answer.drip else ():
                        self.wfile.write(piece)
                        sleep(answer.drip)
                    if not answer.drip:
                        self.wfile.write(body[: len(body) // 2] if answer.cut else body)
                except OSError:
                    self.close_connection = True  # whoever asked has gone
                self.close_connection = self.close_connection or answer.cut

            def log_message(self, *arguments: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            request_queue_size = 128
            daemon_threads = True

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
