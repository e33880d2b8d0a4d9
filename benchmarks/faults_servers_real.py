"""Real MLflow and Prefect servers that can be killed, stopped in the middle, and started again."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from faults_project import environment, kill_tree

START_SECONDS = 120.0  # on a small machine that does other things, too
OWN = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}  # seven processes that nothing here needs


class Server:
    """A server on a port of its own, with its data in a folder; it keeps both when it is started again."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def settings(self) -> dict[str, str]:
        """What tells genarm to use it."""
        raise NotImplementedError

    def command(self) -> list[str]:
        raise NotImplementedError

    def health(self) -> str:
        raise NotImplementedError

    def start(self) -> None:
        """Start it and wait until it answers. Raises SystemExit where it does not."""
        log = self.folder / "server.log"
        with log.open("ab") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *self.command()], cwd=self.folder, start_new_session=True,
                env=environment(self.folder, OWN | {"PREFECT_HOME": str(self.folder)}),
                stdin=subprocess.DEVNULL, stdout=file, stderr=file,
            )  # fmt: skip
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until and self.process.poll() is None:
            try:
                with urllib.request.urlopen(self.health(), timeout=2):
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        self.kill()
        raise SystemExit(f"{self.command()[0]} does not start:\n{log.read_text()[-2000:]}")

    def kill(self) -> None:
        """SIGKILL to all of it."""
        if self.process:
            kill_tree(self.process.pid)
            with contextlib.suppress(ChildProcessError):  # it may be the child of another process
                self.process.wait()
            self.process = None

    def hang(self) -> None:
        """SIGSTOP: connections are accepted by the system, and nothing answers."""
        if self.process:
            os.killpg(self.process.pid, signal.SIGSTOP)

    def wake(self) -> None:
        """Go on where it was stopped."""
        if self.process:
            os.killpg(self.process.pid, signal.SIGCONT)


class MlflowServer(Server):
    """An MLflow tracking server on SQLite."""

    def settings(self) -> dict[str, str]:
        return {"MLFLOW_TRACKING_URI": self.address}

    def command(self) -> list[str]:
        return [
            "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port), "--workers", "1",
            "--backend-store-uri", f"sqlite:///{self.folder / 'server.db'}",
            "--artifacts-destination", str(self.folder / "files"),
        ]  # fmt: skip

    def health(self) -> str:
        return f"{self.address}/health"


class PrefectServer(Server):
    """A Prefect server on SQLite."""

    def settings(self) -> dict[str, str]:
        return {"PREFECT_API_URL": f"{self.address}/api"}

    def command(self) -> list[str]:
        return ["prefect", "server", "start", "--host", "127.0.0.1", "--port", str(self.port), "--no-ui"]

    def health(self) -> str:
        return f"{self.address}/api/health"


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
