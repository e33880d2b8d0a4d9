"""`genarm serve --trial` of a project, as a process."""

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from toy_pipeline import environment


@contextmanager
def serving(root: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server of the project, and its address."""
    words = ["genarm", "serve", "--trial", "--port", "0", "--slots", "4", "--watch", "1"]
    with subprocess.Popen(
        words, cwd=root, env=environment(root), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as server:
        try:
            assert server.stderr
            told = next(line for line in server.stderr if "serving" in line or "error" in line)
            address = re.search(r"http://\S+", told)
            assert address, told + server.stderr.read()
            yield server, address[0]
        finally:
            server.kill()
