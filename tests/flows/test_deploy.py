"""The schedule, against a real Prefect server: what is served is put on its calendar."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def deploy(environment: dict[str, str], *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "genarm.flows.deploy", *words], cwd=ROOT, env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip


def ask(url: str, body: object = None) -> object:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=5) as answer:
        return json.load(answer)


def until(found, what: str, seconds: float = 90):
    """The first true answer; servers need a while, and are not there at first."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if value := found():
                return value
        except OSError:
            pass
        time.sleep(1)
    raise AssertionError(f"{what} within {seconds} s")


@pytest.mark.slow
def test_a_served_flow_is_on_the_calendar(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    api = f"http://127.0.0.1:{port}/api"
    environment = os.environ | {"PREFECT_HOME": str(tmp_path), "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
    server = subprocess.Popen(
        [sys.executable, "-m", "prefect", "server", "start", "--port", str(port)],
        env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    served = None
    try:
        until(lambda: ask(f"{api}/health"), "the server answers")
        served = deploy(environment | {"PREFECT_API_URL": api}, "--cron", "0 2 * * *")
        (deployment,) = until(lambda: ask(f"{api}/deployments/filter", {}), "the deployment is there")
        assert deployment["schedules"][0]["schedule"]["cron"] == "0 2 * * *"
        runs = until(lambda: ask(f"{api}/flow_runs/filter", {}), "a run is scheduled")
        assert {run["deployment_id"] for run in runs} == {deployment["id"]}
    finally:
        for process in filter(None, (served, server)):
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


def test_without_a_server_nothing_waits_for_a_schedule_that_never_comes():
    environment = {k: v for k, v in os.environ.items() if k != "PREFECT_API_URL"}
    refused = deploy(environment)
    said, _ = refused.communicate(timeout=60)
    assert refused.returncode and "no Prefect server is named" in said
