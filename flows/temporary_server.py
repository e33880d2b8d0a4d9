"""Prefect's temporary server, started where its failure is noticed and told with its cause.

Prefect starts one by itself, but waits two minutes for a server that has died, or restarts it without end.
"""

import atexit
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from genarm.errors import PipelineError, Unreachable
from genarm.system.process import GRACE
from genarm.system.redact import redact

LOG = "temporary-server.log"
STARTUP = "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS"
REINSTALL = "install the versions that genarm was tested with: python -m pip install --upgrade genarm"
PYDANTIC = re.compile(r"\[type=.*?\]$|For further information visit \S+", re.MULTILINE)
ATTEMPTS = 3  # another process may take the port between its choice and its use
TAKEN = re.compile(r"address already in use", re.IGNORECASE)
CAUSE = re.compile(r"^(?:[a-z_]\w*\.)*[A-Z]\w*(?:Error|Exception|Failure): .+$", re.MULTILINE)


def start() -> None:
    """Start the temporary server that Prefect will use in this process, unless a server is named.

    To be called before a flow is imported. Raises PipelineError where Prefect or its server does not import,
    and with the server's own error where it ends; Unreachable where it does not answer in the time that
    Prefect's settings allow.
    """
    try:
        from prefect.context import get_settings_context  # Prefect reads its settings as this is imported

        settings = get_settings_context().settings
    except Exception as error:
        told = PYDANTIC.sub("", str(error))  # the rest repeats the value, which may be anybody's
        raise PipelineError(
            f"Prefect does not import: {redact(_one_line(told))}",
            hint=REINSTALL if isinstance(error, ImportError) else _settings_hint(),
        ) from error
    if settings.api.url:
        return
    if not settings.server.ephemeral.enabled:
        raise PipelineError(
            "no Prefect server is named, and Prefect's settings forbid a temporary one",
            hint="export PREFECT_SERVER_ALLOW_EPHEMERAL_MODE=true, or name a server: PREFECT_API_URL",
        )
    try:
        from prefect.server.api.server import SubprocessASGIServer
    except Exception as error:
        raise PipelineError(
            f"Prefect's server does not import: {type(error).__name__}: {redact(_one_line(error))}",
            hint=REINSTALL,
        ) from error
    server, log = SubprocessASGIServer(), Path(settings.home, LOG)
    if server.running:
        return
    log.parent.mkdir(parents=True, exist_ok=True)
    atexit.register(server.stop)
    deadline = time.monotonic() + settings.server.ephemeral.startup_timeout_seconds
    for attempt in range(1, ATTEMPTS + 1):
        server.port = server.find_available_port()
        with log.open("w+", encoding="utf-8", errors="replace") as said:
            with _standard_error_to(said), _deaf_to_interrupts():
                server.server_process = server._run_uvicorn_command()
            while server.server_process.poll() is None:
                if _answers(f"{server.api_url}/health"):
                    server.running = True  # from here on Prefect takes it for its own
                    _ends_with_us(server.server_process.pid)
                    return
                if time.monotonic() > deadline:
                    server.stop()
                    raise Unreachable(
                        f"Prefect's temporary server does not answer at {server.api_url}",
                        hint=f"{log} has its words; on a slow machine: export {STARTUP}=600",
                    )
                time.sleep(0.1)
            said.seek(0)
            words = said.read()
        code, server.server_process = server.server_process.returncode, None
        if not TAKEN.search(words) or attempt == ATTEMPTS:
            raise PipelineError(
                f"Prefect's temporary server ended as it started (exit code {code}): {redact(_cause(words))}",
                hint=f"genarm doctor --deep; all that the server said is in {log}",
            )


def _settings_hint() -> str:
    profiles = Path(os.environ.get("PREFECT_HOME", "~/.prefect"), "profiles.toml").expanduser()
    return "correct the PREFECT_ variables" + (f", or {profiles}" if profiles.is_file() else "")


def _ends_with_us(pid: int) -> None:
    # It reads from a pipe that this process holds open, so it wakes when this process ends, even by SIGKILL:
    # a server without its run would stay, and keep the database in use.
    words = f'read _; kill -s TERM "$0"; sleep {GRACE}; kill -s KILL "$0"'
    watch = subprocess.Popen(
        ["/bin/sh", "-c", words, str(pid)],
        stdin=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    atexit.register(watch.communicate)
    atexit.register(watch.kill)  # called before the one above, and before the server is stopped


def _cause(words: str) -> str:
    """The error at the end of the last traceback, or the last line."""
    errors = CAUSE.findall(words)
    return _one_line(errors[-1] if errors else words.strip().rpartition("\n")[2] or "it said nothing")


def _one_line(text: object) -> str:
    return " ".join(str(text).split())[:500]


def _answers(url: str) -> bool:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    # Ctrl-C at a terminal reaches every process there. The run has to tell the server how it ended, so the
    # server must outlive it; SIGTERM stops it. A blocked signal stays so in a process that is started.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _standard_error_to(file: IO[str]) -> Iterator[None]:
    # Prefect's command leaves standard error as this process has it; only the file descriptor is inherited.
    sys.stderr.flush()
    kept = os.dup(2)
    os.dup2(file.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
