"""Once against a real model behind `transformers serve`, which knows no log-probabilities."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from genarm.config import JudgeConfig
from genarm.judges import load_with_origin
from genarm.judges.check import check
from genarm.models import EMBEDDED, resolve
from genarm.types import Message, Prompt, Response


@pytest.fixture
def served():
    """The embedded model; yields address and name."""
    model = str(resolve(EMBEDDED).path)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["serve", model, "--device", "cpu", "--host", "127.0.0.1", "--port", str(port)]
    server = subprocess.Popen(
        [Path(sys.executable).parent / "transformers", *words],
        env=os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(600):
            try:
                httpx.get(f"http://127.0.0.1:{port}/health", timeout=1).raise_for_status()
                break
            except httpx.HTTPError:
                assert server.poll() is None
                time.sleep(0.2)
        yield f"http://127.0.0.1:{port}/v1", model
    finally:
        server.kill()
        server.wait()


@pytest.mark.slow
def test_a_real_model_is_asked_and_kept(served, tmp_path):
    url, model = served
    config = JudgeConfig(llm={"model": model, "base_url": url, "criterion": "helpful", "concurrency": 2})
    check(config, tmp_path)
    loaded = load_with_origin(config, tmp_path)
    assert model in loaded.identity and "read from the text" in loaded.identity
    answers = [
        Response("", text, 1, "stop", -1.0, 0.0) for text in ("It is blue: air scatters light.", "No.")
    ]
    asked = [(Prompt((Message("user", f"Why is the {what} blue?"),)), *answers) for what in ("sky", "sea")]
    loaded.judge.prepare(asked)
    assert loaded.judge.usage.requests == 4 and loaded.judge.usage.tokens_in > 400
    # what so small a model says is worth nothing, but it is the same when it is asked again
    said = [loaded.judge.compare(*comparison) for comparison in asked]
    again = load_with_origin(config, tmp_path).judge
    again.prepare(asked)
    assert [again.compare(*comparison) for comparison in asked] == said
    assert (again.usage.requests, again.usage.cached) == (0, 4)
