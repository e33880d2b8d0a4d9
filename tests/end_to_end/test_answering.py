"""A whole run whose prompts a server answers: it fetches what the run has just registered."""

import json
import socket
import subprocess

import pytest
from prefect_shell import until
from toy_pipeline import environment, genarm, make_base, make_project, toy_params, write_params

from genarm.pipeline.project import Project
from genarm.system.files import read_rows
from genarm.types import Response

pytestmark = pytest.mark.slow


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def texts(project: Project) -> dict[str, list[tuple[str, str]]]:
    files = [project.layout.responses("base"), project.layout.responses("challenger", "digits")]
    return {file.stem: [(r.prompt_id, r.text) for r in read_rows(file, Response)] for file in files}


def test_a_run_is_answered_by_a_server_and_a_server_less_runs_nothing_again(tmp_path):
    base, root, log, port = tmp_path / "base", tmp_path / "project", tmp_path / "serve.log", free_port()
    make_base(base)
    params = toy_params(base)
    engine = {"server": f"http://127.0.0.1:{port}/v1", "patience": 240.0}
    make_project(root, params | {"respond": params["respond"] | {"engine": engine}})
    project = Project(root)
    with log.open("w") as output, subprocess.Popen(
        ["genarm", "serve", "--trial", "--port", str(port), "--watch", "1"], cwd=root, env=environment(root),
        stdout=output, stderr=output,
    ) as server:  # fmt: skip
        try:
            until(lambda: "serving base at" in log.read_text() or server.poll() is not None, "it serves", 300)
            assert server.poll() is None, log.read_text()
            genarm(root, "run")
        finally:
            server.terminate()
            server.wait()
    said = log.read_text()
    assert "digits@1 on trial at weight 20" in said and "vowels@1 on trial" in said, said
    decisions = json.loads(project.layout.decisions.read_text())
    assert decisions["digits"]["outcome"] == "promote"
    answered = texts(project)
    assert len(answered["base"]) == len(answered["digits"]) == 40
    write_params(root, params)  # no server any more
    status = subprocess.run(
        ["dvc", "status"], cwd=root, env=environment(root), capture_output=True, text=True
    )
    assert status.stdout.strip() == "Data and pipelines are up to date.", status
    genarm(root, "respond", "base")
    genarm(root, "respond", "challenger", "digits")
    assert texts(project) == answered
