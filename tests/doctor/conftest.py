"""An environment that says nothing, and a server that plays MLflow and Prefect."""

import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


@pytest.fixture
def quiet(monkeypatch):
    """An environment without addresses, logins or switches of the person who runs the tests."""
    for name in list(os.environ):
        if name.startswith(("PREFECT_", "MLFLOW_", "HF_", "OMP_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PREFECT_HOME", "/nowhere/.prefect")
    return monkeypatch


@pytest.fixture
def server():
    """A server that plays MLflow and Prefect; it notes the paths asked for and the logins."""
    answers = {"/health": "OK", "/version": "0.1", "/api/health": "true", "/api/admin/version": '"0.1"'}
    seen = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            seen.append((self.path, self.headers.get("Authorization")))
            known = self.path in answers
            self.send_response(200 if known else 302)
            self.send_header("Location", "/elsewhere")
            self.end_headers()
            self.wfile.write(answers.get(self.path, "").encode())

        def log_message(self, *words):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        threading.Thread(target=http.serve_forever, args=(0.02,), daemon=True).start()
        http.answers, http.seen = answers, seen
        yield http
        http.shutdown()
