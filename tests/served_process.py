"""`genarm serve` in a process of its own."""

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from served_toys import wait
from toy_pipeline import environment

STARTING = 300  # seconds, on a machine that does other things


@dataclass(frozen=True)
class Served:
    """A server that takes requests."""

    address: str
    process: subprocess.Popen[bytes]

    @property
    def api(self) -> str:
        """The address of the OpenAI API."""
        return f"{self.address}/v1"


@contextmanager
def served(project: Path, log: Path, *options: str) -> Iterator[Served]:
    """A server of a project, which has to end by SIGTERM without an error, unless the test has killed it."""
    with log.open("w") as told:
        server = subprocess.Popen(
            ["genarm", "serve", "--engine", "builtin", "--port", "0", *options],
            cwd=project,
            env=environment(project),
            stdout=told,
            stderr=told,
        )
    try:
        wait(lambda: "serving " in log.read_text() or server.poll() is not None, STARTING)
        found = re.search(r"at (http://\S+)/v1", log.read_text())
        assert found, log.read_text()
        wait(lambda: answers(found[1]), STARTING)
        yield Served(found[1], server)
    finally:
        if server.poll() is None:
            server.terminate()
            try:
                assert server.wait(60) == 0, log.read_text()
            finally:
                server.kill()


def answers(address: str) -> bool:
    """Whether it takes requests."""
    try:
        return httpx.get(f"{address}/ready").status_code == 200
    except httpx.HTTPError:
        return False
