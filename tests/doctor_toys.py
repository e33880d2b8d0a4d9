"""What the tests of the doctor share."""

import socket
from collections.abc import Sequence
from pathlib import Path

from genarm.doctor import CheckResult

ROOT = Path(__file__).parents[1]
PARAMS = (ROOT / "params.yaml").read_text()


def one(results: Sequence[CheckResult]) -> CheckResult:
    (result,) = results
    return result


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]
