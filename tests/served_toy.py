"""A toy served by the command of `genarm serve --engine vllm`, for tests in vLLM's environment."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from toy_vllm import GuidedToy, guided_toy
from toys import byte_tokenizer

from genarm.models import resolve
from genarm.models.arm import adapter_hash
from genarm.serve.lineup import ServedArm
from genarm.serve.vllm_command import vllm_command
from genarm.types import Champion

LOW = ("--enforce-eager", "--max-model-len=256", "--block-size=32")


@contextmanager
def served_toy(root: Path) -> Iterator[tuple[GuidedToy, httpx.Client]]:
    """A Llama toy with version 3 of `kind`, by contrast, and version 1 of `curt`; and a client of it."""
    toy = guided_toy("llama", root / "toy", byte_tokenizer())
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folders = {"kind": toy.arms["all"], "curt": toy.arms["top"]}
    served = {
        "kind": ServedArm("kind", Champion(3, "m", adapter_hash(folders["kind"]), 0.8, "contrast")),
        "curt": ServedArm("curt", Champion(1, "m", adapter_hash(folders["curt"]), 0.4, "sum")),
    }
    command, environment = vllm_command(
        Path(sys.executable), resolve(str(toy.folder)), served, folders, {},
        dtype="float32", host="127.0.0.1", port=port, slots=4, more=LOW,
        sampling={"temperature": 0.0, "top_p": 0.9, "top_k": 0},
    )  # fmt: skip
    log = root / "vllm.log"
    with log.open("w") as file:
        server = subprocess.Popen(command, env=os.environ | environment, stdout=file, stderr=file)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120) as client:
            for _ in range(3000):
                assert server.poll() is None, log.read_text()[-3000:]
                try:
                    client.get("/health")
                    break
                except httpx.TransportError:
                    time.sleep(0.2)
            yield toy, client
    finally:
        server.terminate()
        server.wait(60)
