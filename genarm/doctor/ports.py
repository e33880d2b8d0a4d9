"""The ports at which the servers of Prefect and MLflow start by default."""

import re
from pathlib import Path

from genarm.doctor.http_get import get, listens
from genarm.errors import Unreachable
from genarm.pipeline.check_result import CheckResult, ok, warn


def ports(root: Path) -> list[CheckResult]:
    """Check whether the ports are free, or taken by the servers that belong there."""
    return [
        port(4200, "prefect", "/api/admin/version", "prefect server start --port 4201"),
        port(5000, "mlflow", "/version", "mlflow server --port 5001"),
    ]


def port(number: int, library: str, version_path: str, fix: str) -> CheckResult:
    """Check one port of this machine; a server of `library` answers `version_path` with its version."""
    check = f"port {number}"
    if not listens("127.0.0.1", number, 0.3):
        return ok(check, f"free for {library}")
    try:
        status, text = get(f"http://127.0.0.1:{number}", version_path, patience=1.0)
    except Unreachable:
        status, text = 0, ""
    version = text.strip().strip('"')
    if status == 200 and re.fullmatch(r"\d+\.\d+[\w.+-]*", version):
        return ok(check, f"{library} {version} runs there")
    return warn(check, f"taken, and not by {library}", fix)
