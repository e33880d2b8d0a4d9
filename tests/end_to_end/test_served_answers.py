"""A whole run whose prompts a real server answers decides and promotes as the built-in engine does."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from served_process import served
from toy_pipeline import environment, genarm, make_base, make_project, toy_params, write_params

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("served-answers")]  # one project, one server
ANSWERS = ["respond-base", "respond@vowels", "respond@digits", "judge@vowels", "judge@digits", "decide"]
PATIENT = {"PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "600"}  # on a busy machine


def answered(address: str) -> int:
    """How many completions a server has answered; none was refused."""
    text = httpx.get(address.removesuffix("/v1") + "/metrics").text
    found = re.findall(r'genarm_requests_total\{path="/v1/completions",status="(\d+)"\} (\S+)', text)
    assert {status for status, _ in found} <= {"200"}
    return sum(int(float(number)) for _, number in found)


def decisions(project: Path) -> dict[str, dict[str, object]]:
    return json.loads((project / "artifacts" / "decisions.json").read_text())


def texts(project: Path) -> dict[str, list[tuple[str, str]]]:
    """What was answered by side, to which prompt."""
    rows = {
        file.relative_to(project / "artifacts" / "responses").as_posix(): file.read_text().splitlines()
        for file in (project / "artifacts" / "responses").rglob("*.jsonl")
    }
    return {
        name: [(r["prompt_id"], r["text"]) for r in map(json.loads, lines)] for name, lines in rows.items()
    }


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    make_base(folder)
    return folder


@pytest.fixture(scope="module")
def project(base, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("clone") / "project"
    make_project(folder, toy_params(base))
    return folder


@pytest.fixture(scope="module")
def address(project, base, tmp_path_factory) -> Iterator[str]:
    """A server of a project that has no version yet; its parameters name it, as docs/operations.md says."""
    params = toy_params(base)
    log = tmp_path_factory.mktemp("served") / "log"
    with served(project, log, "--trial", "--slots", "4", "--watch", "1") as server:
        engine = {"server": server.api, "patience": 200}
        write_params(project, params | {"respond": params["respond"] | {"engine": engine}})
        yield server.api


@pytest.fixture(scope="module")
def first_run(project, address) -> str:
    return genarm(project, "run", **PATIENT)


@pytest.fixture(scope="module")
def asked(project, first_run) -> int:
    """How many prompts the base and both challengers had to answer together."""
    return 3 * len((project / "artifacts" / "prompts.jsonl").read_text().splitlines())


def test_what_a_server_answered_is_judged_and_promoted(project, address, first_run, asked):
    assert answered(address) == asked > 60, first_run
    outcomes = {dimension: made["outcome"] for dimension, made in decisions(project).items()}
    assert outcomes == {"vowels": "promote", "digits": "promote"}
    champions = json.loads((project / "mlflow" / "champions.json").read_text())
    assert [champion["version"] for champion in champions.values()] == [1, 1]


def test_a_second_run_asks_nothing(project, address, first_run, asked):
    again = genarm(project, "run", **PATIENT)
    assert again.count("already") >= 2 and "respond" not in again
    assert answered(address) == asked
    served = {model["id"] for model in httpx.get(f"{address}/models").json()["data"]}
    assert {"guided:vowels@1", "guided:digits@1"} <= served


def test_the_built_in_engine_gives_the_same_texts_and_decisions(project, base, first_run, tmp_path):
    local = tmp_path / "local"
    shutil.copytree(project, local)
    write_params(local, toy_params(base))
    shutil.rmtree(local / "artifacts" / "responses" / "challenger")
    words = ["dvc", "repro", "--force", "--single-item", *ANSWERS]
    done = subprocess.run(words, cwd=local, env=environment(local), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert texts(local) == texts(project)
    assert decisions(local) == decisions(project)
