"""Runs that were killed: they are marked as crashed, give back their slot, and somebody is told."""

import json
import os
import shutil
import socket
import uuid

import pytest
from dvc_project import git
from prefect_shell import ROOT, ask, kill, prefect, running_server, start, until, webhook
from ruamel.yaml import YAML

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("crashed")]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with running_server(tmp_path_factory.mktemp("prefect")) as environment:
        yield environment


@pytest.fixture
def project(tmp_path):
    """It passes its checks, and its runs wait: its MLflow server says nothing, so it is asked again."""
    for name in ("params.yaml", "dvc.yaml", "judge-checks.json"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "seed", tmp_path / "data")
    git(tmp_path, "init", "--quiet")
    return tmp_path


@pytest.fixture
def shell(server, project):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        tracking = f"http://127.0.0.1:{silent.getsockname()[1]}"
        path = f"{ROOT / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}"
        yield server | {
            "MLFLOW_TRACKING_URI": tracking,
            "PATH": path,
            "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
        }


def runs(environment, project) -> dict[str, dict]:
    """The runs of a project that have begun, by id."""
    found = ask(environment, "flow_runs/filter", {"sort": "START_TIME_ASC"})
    return {r["id"]: r for r in found if r["parameters"].get("root") == str(project) and r["start_time"]}


def running(environment, project) -> dict | None:
    """A run of the project that is under way and has said which process it is."""
    states = runs(environment, project).values()
    return next((r for r in states if r["state_type"] == "RUNNING" and "genarm.pid" in r["labels"]), None)


def begin(environment, project):
    return start(environment, project, "-c", "from genarm.cli.main import main; main()", "run")


def state(environment, run) -> dict:
    return ask(environment, f"flow_runs/{run['id']}")["state"]


def test_the_next_run_marks_one_that_was_killed(shell, project):
    first = begin(shell, project)
    killed = until(lambda: running(shell, project), "the first run is under way")
    kill(first)
    assert state(shell, killed)["type"] == "RUNNING"  # nobody could tell
    second = begin(shell, project)
    try:
        until(lambda: state(shell, killed)["type"] == "CRASHED", "the first run is marked as crashed")
        assert f"process {killed['labels']['genarm.pid']}" in state(shell, killed)["message"]
        alive = until(lambda: running(shell, project), "the second run is under way")
        third = begin(shell, project)  # it finds the project busy, and leaves the run before it alone
        output, _ = third.communicate(timeout=90)
        assert third.returncode == 4 and "another run of this project is in progress" in output
        assert state(shell, alive)["type"] == "RUNNING"
    finally:
        kill(second)


def test_a_served_run_that_was_killed_gives_back_its_slot_at_once(shell, project):
    serve = ("-m", "genarm.flows.deploy", "--cron", "0 2 1 1 *")
    first, beside = start(shell, project, *serve), start(shell, project, *serve)
    try:
        until(lambda: ask(shell, "deployments/filter", {}), "the deployment is there")
        prefect(shell, "deployment", "run", "refresh/nightly")
        killed = until(lambda: running(shell, project), "the run is under way")
        prefect(shell, "deployment", "run", "refresh/nightly")
        waits = {"state": {"name": {"any_": ["AwaitingConcurrencySlot"]}}}
        until(
            lambda: ask(shell, "flow_runs/filter", {"flow_runs": waits}),
            "the second waits, whoever serves it",
        )
    finally:
        kill(first)
        kill(beside)
    again = start(shell, project, *serve)
    try:
        until(lambda: state(shell, killed)["type"] == "CRASHED", "the killed run is marked", 60)
        until(lambda: running(shell, project), "the run that waited has its turn", 90)
    finally:
        kill(again)


def test_a_silent_run_is_told_to_a_webhook(shell, project, tmp_path):
    """The automations of the repository, with a shorter wait, against a server of this test."""
    with webhook() as (told, url):
        save = "from prefect.blocks.webhook import Webhook; print(Webhook(url=input()).save('genarm-alert'))"
        (project / "url").write_text(url)
        printed, _ = start(shell, project, "-c", f"import sys; sys.stdin = open('url'); {save}").communicate()
        content = (ROOT / "automations.yaml").read_text()
        content = content.replace(str(uuid.UUID(int=0)), printed.split()[-1]).replace(
            "within: 90", "within: 35"
        )
        file = tmp_path / "automations.yaml"
        file.write_text(content)
        assert len(YAML(typ="safe").load(content)["automations"]) == 4
        prefect(shell, "automation", "create", "--from-file", str(file))
        run = begin(shell, project)
        killed = until(lambda: running(shell, project), "the run is under way")
        sent = {"filter": {"event": {"name": ["prefect.flow-run.heartbeat"]}}, "limit": 50}
        until(lambda: killed["id"] in json.dumps(ask(shell, "events/filter", sent)), "a heartbeat has come")
        kill(run)
        until(lambda: told, "the webhook is called", 150)
        assert killed["name"] in told[0] and "no heartbeat" in told[0]
        assert state(shell, killed)["type"] == "CRASHED"
