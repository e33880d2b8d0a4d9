"""A whole run whose prompts a real server answers decides and promotes as the built-in engine does."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import httpx
import pytest
from serving_process import serving
from toy_pipeline import environment, genarm, make_base, make_project, toy_params, write_params

pytestmark = pytest.mark.slow
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


def test_first_run_promotes_second_does_nothing_and_the_built_in_engine_decides_the_same(base, tmp_path):
    """In the order of docs/operations.md: a server of a project that has no version yet, then the run."""
    project = tmp_path / "project"
    params = toy_params(base)
    make_project(project, params)
    with serving(project) as (_, address):
        engine = {"server": address, "patience": 200}
        write_params(project, params | {"respond": params["respond"] | {"engine": engine}})
        log = genarm(project, "run", **PATIENT)
        asked = 3 * len((project / "artifacts" / "prompts.jsonl").read_text().splitlines())
        assert answered(address) == asked > 60, log  # of the base and both challengers
        assert {d: made["outcome"] for d, made in decisions(project).items()} == {
            "vowels": "promote",
            "digits": "promote",
        }
        champions = json.loads((project / "mlflow" / "champions.json").read_text())
        assert [champion["version"] for champion in champions.values()] == [1, 1]
        again = genarm(project, "run", **PATIENT)
        assert again.count("already") >= 2 and "respond" not in again
        assert answered(address) == asked
        served = {m["id"] for m in httpx.get(f"{address}/models").json()["data"]}
        assert {"guided:vowels@1", "guided:digits@1"} <= served
    local = tmp_path / "local"
    shutil.copytree(project, local)
    write_params(local, params)
    shutil.rmtree(local / "artifacts" / "responses" / "challenger")
    words = ["dvc", "repro", "--force", "--single-item", *ANSWERS]
    done = subprocess.run(words, cwd=local, env=environment(local), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert texts(local) == texts(project)
    assert decisions(local) == decisions(project)
