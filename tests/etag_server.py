"""A web server that keeps an etag of every file, refuses some, and may change a file while it is read."""

import hashlib
import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Site:
    """What is served: name -> bytes, or the status that is answered; `asked` has all requests."""

    address: str = ""
    files: dict[str, bytes | int] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    restless: bool = False  # every file is another one after it was read
    marks: bool = True


@contextmanager
def site() -> Iterator[Site]:
    """A site on a port of its own."""
    served = Site()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.answer()

        def do_GET(self) -> None:
            self.answer()

        def answer(self) -> None:
            name = self.path.partition("?")[0].lstrip("/")
            served.asked.append((self.command, name))
            content = served.files.get(name, 404)
            if isinstance(content, int):
                self.send_error(content)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            if served.marks:
                self.send_header("ETag", f'"{hashlib.md5(content).hexdigest()}"')
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content)
                if served.restless:
                    served.files[name] = content + b"\n"

        def log_message(self, *arguments: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        served.address = f"http://127.0.0.1:{server.server_port}"
        yield served
        server.shutdown()
