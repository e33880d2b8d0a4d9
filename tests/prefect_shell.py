"""A real Prefect server for tests, and the shell that talks to it."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

ROOT = Path(__file__).parents[1]


def start(environment: dict[str, str], folder: Path, *words: str) -> subprocess.Popen[str]:
    """A Python command in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, *words], cwd=folder, env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip


def kill(process: subprocess.Popen[str]) -> None:
    """SIGKILL for the whole group, as when a machine goes down."""
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def prefect(environment: dict[str, str], *words: str, folder: Path = ROOT) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "prefect", "--no-prompt", *words], cwd=folder, env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=180,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    return done.stdout


def ask(environment: dict[str, str], path: str, body: object = None) -> object:
    data = None if body is None else json.dumps(body).encode()
    url = f"{environment['PREFECT_API_URL']}/{path}"
    request = urllib.request.Request(url, data, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=5) as answer:
        return json.load(answer)


def until(question, what: str, seconds: float = 90):
    """The first true answer; servers need a while, and are not there at first."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if value := question():
                return value
        except OSError:
            pass
        time.sleep(1)
    raise AssertionError(f"{what} within {seconds} s")


@contextmanager
def running_server(home: Path, **settings: str) -> Iterator[dict[str, str]]:
    """The environment of a shell that talks to a Prefect server of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {"PREFECT_HOME": str(home), "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
    # its pages ask at this address; the default is port 4200, whatever the server's is
    environment |= {"PREFECT_UI_API_URL": f"http://127.0.0.1:{port}/api"} | settings
    process = subprocess.Popen(
        [sys.executable, "-m", "prefect", "server", "start", "--port", str(port)],
        env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    environment |= {"PREFECT_API_URL": f"http://127.0.0.1:{port}/api"}
    try:
        until(lambda: ask(environment, "health"), "the server answers")
        yield environment
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@contextmanager
def webhook() -> Iterator[tuple[list[str], str]]:
    """A web server that takes alerts: the texts that it was sent, and its address."""
    texts: list[str] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            texts.append(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["text"])
            self.send_response(204)
            self.end_headers()

        def log_message(self, *words: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Receiver) as receiver:
        threading.Thread(target=receiver.serve_forever, args=(0.05,), daemon=True).start()
        yield texts, f"http://127.0.0.1:{receiver.server_port}/hook"
        receiver.shutdown()
