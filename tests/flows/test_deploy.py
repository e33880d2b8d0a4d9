"""The schedule, against a real Prefect server: what is served or deployed is on its calendar and runs."""

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
MODULE = "genarm.flows.align.align"


def deploy(environment: dict[str, str], *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "genarm.flows.deploy", *words], cwd=ROOT, env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip


def prefect(environment: dict[str, str], *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "prefect", "--no-prompt", *words], cwd=ROOT, env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=180,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    return done.stdout


def ask(environment: dict[str, str], path: str, body: object = None) -> object:
    data = None if body is None else json.dumps(body).encode()
    url = f"{environment['PREFECT_API_URL']}/{path}"
    request = urllib.request.Request(url, data, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=5) as answer:
        return json.load(answer)


def until(question, what: str, seconds: float = 90):
    """The first true answer; servers need a while, and are not there at first."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if value := question():
                return value
        except OSError:
            pass
        time.sleep(1)
    raise AssertionError(f"{what} within {seconds} s")


@pytest.fixture
def server(tmp_path):
    """The environment of a shell that talks to a Prefect server of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {"PREFECT_HOME": str(tmp_path), "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
    process = subprocess.Popen(
        [sys.executable, "-m", "prefect", "server", "start", "--port", str(port)],
        env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    environment |= {"PREFECT_API_URL": f"http://127.0.0.1:{port}/api"}
    try:
        until(lambda: ask(environment, "health"), "the server answers")
        yield environment
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@pytest.mark.slow
def test_a_served_flow_is_on_the_calendar(server):
    served = deploy(server, "--cron", "0 2 * * *")
    try:
        (deployment,) = until(lambda: ask(server, "deployments/filter", {}), "the deployment is there")
        assert deployment["schedules"][0]["schedule"]["cron"] == "0 2 * * *"
        assert deployment["entrypoint"] == MODULE
        runs = until(lambda: ask(server, "flow_runs/filter", {}), "a run is scheduled")
        assert {run["deployment_id"] for run in runs} == {deployment["id"]}
    finally:
        os.killpg(served.pid, signal.SIGKILL)
        served.communicate()


@pytest.mark.slow
def test_a_worker_runs_what_the_deployment_file_names(server, tmp_path):
    """In a folder without parameters, so that the flow's own first error shows that it began."""
    empty = tmp_path / "empty"
    empty.mkdir()
    prefect(server, "work-pool", "create", "genarm", "--type", "process")
    prefect(server, "deploy", "--all")
    (deployment,) = ask(server, "deployments/filter", {})
    assert deployment["entrypoint"] == MODULE
    prefect(server, "deployment", "run", "align/nightly", "-p", f"root={empty}")
    prefect(server, "worker", "start", "--pool", "genarm", "--run-once")
    ended = [run for run in ask(server, "flow_runs/filter", {}) if run["state_type"] != "SCHEDULED"]
    assert [run["state_type"] for run in ended] == ["FAILED"]
    assert f"no parameter file at {empty}" in ended[0]["state"]["message"]


def test_without_a_server_nothing_waits_for_a_schedule_that_never_comes():
    environment = {k: v for k, v in os.environ.items() if k != "PREFECT_API_URL"}
    refused = deploy(environment)
    output, _ = refused.communicate(timeout=60)
    assert refused.returncode and "no Prefect server is named" in output
