"""The schedule, against a real Prefect server: what is served or deployed is on its calendar and runs."""

import os
import subprocess

import pytest
from prefect_shell import ROOT, ask, kill, prefect, running_server, start, until

MODULE = "genarm.flows.refresh.refresh"


def deploy(environment: dict[str, str], *words: str) -> subprocess.Popen[str]:
    return start(environment, ROOT, "-m", "genarm.flows.deploy", *words)


def limit_of(deployment: dict) -> tuple[int, str]:
    """The limit that the server keeps, for every process that serves and every worker."""
    strategy = deployment["concurrency_options"]["collision_strategy"]
    return deployment["global_concurrency_limit"]["limit"], strategy


@pytest.fixture
def server(tmp_path):
    with running_server(tmp_path) as environment:
        yield environment


@pytest.mark.slow
def test_a_served_flow_is_on_the_calendar(server):
    served = deploy(server, "--cron", "0 2 * * *")
    try:
        (deployment,) = until(lambda: ask(server, "deployments/filter", {}), "the deployment is there")
        assert deployment["schedules"][0]["schedule"]["cron"] == "0 2 * * *"
        assert deployment["entrypoint"] == MODULE
        runs = until(lambda: ask(server, "flow_runs/filter", {}), "a run is scheduled")
        assert {run["deployment_id"] for run in runs} == {deployment["id"]}
        assert limit_of(deployment) == (1, "ENQUEUE")
    finally:
        kill(served)


@pytest.mark.slow
def test_a_worker_runs_what_the_deployment_file_names(server, tmp_path):
    """In a folder without parameters, so that the flow's own first error shows that it began."""
    empty = tmp_path / "empty"
    empty.mkdir()
    prefect(server, "work-pool", "create", "genarm", "--type", "process")
    prefect(server, "deploy", "--all")
    (deployment,) = ask(server, "deployments/filter", {})
    assert deployment["entrypoint"] == MODULE
    assert limit_of(deployment) == (1, "ENQUEUE")
    prefect(server, "deployment", "run", "refresh/nightly", "-p", f"root={empty}")
    prefect(server, "worker", "start", "--pool", "genarm", "--run-once")
    ended = [run for run in ask(server, "flow_runs/filter", {}) if run["state_type"] != "SCHEDULED"]
    assert [run["state_type"] for run in ended] == ["FAILED"]
    assert f"no parameter file at {empty}" in ended[0]["state"]["message"]

    prefect(server, "event", "emit", "genarm.data.changed", "--resource-id", "concise")  # as a receiver would
    by_event = until(
        lambda: [
            r
            for r in ask(server, "flow_runs/filter", {})
            if (r["created_by"] or {}).get("type") == "AUTOMATION"
        ],
        "an event starts a run",
    )
    assert {run["deployment_id"] for run in by_event} == {deployment["id"]} and len(by_event) == 1


def test_without_a_server_nothing_waits_for_a_schedule_that_never_comes():
    environment = {k: v for k, v in os.environ.items() if k != "PREFECT_API_URL"}
    refused = deploy(environment)
    output, _ = refused.communicate(timeout=60)
    assert refused.returncode and "no Prefect server is named" in output
