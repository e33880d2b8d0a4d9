"""Two `genarm serve` processes over a real registry: one is killed midway, then the stage itself."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from answering_toys import answers, make_project, same, with_engine
from served_process import served
from toy_pipeline import environment

from genarm import registry
from genarm.pipeline.project import Project
from genarm.system.files import read_rows, write_json
from genarm.types import Response

# peft 0.21 asks transformers 5.23 by the old name
pytestmark = [
    pytest.mark.slow,
]
PROMPTS, TOKENS, CONCURRENCY = 60, 60, 4


@pytest.fixture
def project(toy, tmp_path, monkeypatch) -> Project:
    """Its champion is version 1 of a registry, and its challenger version 2, on trial."""
    for name in ("MLFLOW_TRACKING_URI", "PREFECT_API_URL"):
        monkeypatch.delenv(name, raising=False)
    project = make_project(toy, tmp_path, PROMPTS, TOKENS)
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    store = registry.connect(tmp_path)
    for folder, weight, by in (
        (tmp_path / "in-use", 0.9, "sum"),
        (project.layout.arm("kind"), 0.6, "contrast"),
    ):
        number = store.register("kind", folder, weight=weight, guidance=by, metrics={})
        if number == 1:
            store.client.set_registered_model_alias("genarm-kind", "champion", "1")
            store.client.delete_registered_model_alias("genarm-kind", "challenger")
    write_json(project.layout.incumbents, store.champions(["kind"]))
    return project


def wait(until: Callable[[], bool], seconds: float = 600) -> None:
    """Wait for something that must come, on a machine that may be busy."""
    end = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.02)


def stage(root: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        ["genarm", "respond", "challenger", "kind"],
        cwd=root,
        env=environment(root),
    )


def kept(project: Project) -> int:
    file = project.layout.kept / "served-challenger-kind.jsonl"
    return file.read_bytes().count(b"\n") - 1 if file.exists() else 0


def completions(address: str) -> float:
    text = httpx.get(address.removesuffix("/v1") + "/metrics").text
    found = re.findall(r'genarm_requests_total\{path="/v1/completions",status="(\d+)"\} (\S+)', text)
    assert {status for status, _ in found} <= {"200", "499"}
    return sum(float(number) for _, number in found)


def test_a_lost_server_and_a_killed_stage_lose_no_more_than_what_is_in_flight(project, toy, tmp_path):
    wanted = answers(project, "challenger")
    output = project.layout.responses("challenger", "kind")
    output.unlink()
    trial = ("--trial", "--slots", "4", "--watch", "1")
    with (
        served(project.root, tmp_path / "lost.log", *trial) as lost,
        served(project.root, tmp_path / "other.log", *trial) as other,
    ):
        first, second = lost.api, other.api
        engine = {"server": [first, second], "concurrency": CONCURRENCY}
        with_engine(project, toy, engine, PROMPTS, TOKENS)
        models = httpx.get(f"{second}/models").json()["data"]
        assert [m["id"] for m in models] == ["base", "guided", "guided:kind@1", "guided:kind@2"]
        run = stage(project.root)
        wait(lambda: kept(project) >= 5 or run.poll() is not None)
        lost.process.kill()  # its answers in flight are asked of the other
        before = kept(project)
        wait(lambda: kept(project) >= before + 10 or run.poll() is not None)
        assert run.poll() is None, "it ended before it was killed"
        os.kill(run.pid, signal.SIGKILL)
        run.wait()
        assert not output.exists()
        there = kept(project)
        time.sleep(1)  # the server notices that its client has gone
        asked = completions(second)
        run = stage(project.root)
        assert run.wait() == 0
        assert completions(second) - asked <= PROMPTS - there
    same(read_rows(output, Response), wanted)
