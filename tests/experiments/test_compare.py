"""`genarm compare` with the real DVC, Prefect and MLflow."""

import json
import os
import signal
import subprocess
import time

import pytest
import toy_experiment as toy
from toy_pipeline import environment, genarm

from genarm import registry
from genarm.registry import tags

pytestmark = pytest.mark.slow


def ran(output: str) -> list[str]:
    """The units that a run names."""
    return [line.split()[0] for line in output.splitlines() if line.endswith(" runs")]


def test_a_toy_runs_whole_resumes_after_a_kill_and_runs_nothing_twice(tmp_path):
    project = tmp_path / "project"
    toy.make_project(project, tmp_path / "base")
    (project / "data" / "labels.yaml").write_text("vowels.jsonl: toy_scorers:vowels, a toy\n")
    values = toy.toy_experiment()
    toy.write_experiment(project, values)
    # Killed in the middle, with all that it started.
    killed = subprocess.Popen(
        ["genarm", "compare", "toy"],
        cwd=project,
        env=environment(project),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    trained = project / "artifacts" / "experiments" / "toy" / "training" / "arm-0.json"
    while not trained.exists() or b"train-arm-0" not in lock(project):
        assert killed.poll() is None, "it ended before it could be killed"
        time.sleep(0.1)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()

    output = genarm(project, "compare", "toy")
    assert output.index("that every model learns from") < output.index(" runs"), "before hours of work"
    first = ran(output)
    assert "train-arm-0" not in first
    assert first[-1] == "table"
    results = project / "experiments" / "toy" / "results"
    found = json.loads((results / "results.json").read_text())
    assert [row["name"] for row in found["rows"]] == ["base", "guided", "sharpened"]
    assert [row["seeds"] for row in found["rows"]] == [1, 2, 1]
    assert [claim["verdict"] for claim in found["claims"]] == ["confirms"]
    written = (results / "index.html").read_bytes()

    again = genarm(project, "compare", "toy")
    assert ran(again) == [] and "that every model learns from" not in again
    assert (results / "index.html").read_bytes() == written

    values["methods"]["sharper"] = {"method": "sharpened", "weight": 3.0}
    toy.write_experiment(project, values)
    assert ran(genarm(project, "compare", "toy")) == ["answer-sharper-0", "judge-sharper", "table"]

    store = registry.connect(project)
    runs = store.client.search_runs([store.experiment(tags.COMPARE_EXPERIMENT)])
    parents = [run for run in runs if tags.PARENT_RUN not in run.data.tags]
    assert len(parents) == 2  # one for each table
    names = {run.info.run_name for run in runs if run not in parents}
    assert names == {"base", "guided", "sharpened", "sharper", "arm-0", "arm-1"}

    registered = json.loads(genarm(project, "compare", "toy", "--register", "guided", "--json"))
    assert registered["version"] == 1 and registered["method"] == "guided"
    version = store.version("vowels", 1)
    assert version.tags[tags.WEIGHT] == "20.0" and version.tags[tags.EXPERIMENT] == "toy"
    kept = [f.path for f in store.client.list_artifacts(version.run_id, "experiments/toy")]
    assert "experiments/toy/results.json" in kept and "experiments/toy/table.md" in kept
    assert json.loads(genarm(project, "compare", "toy", "--register", "guided", "--json")) == registered
    values["methods"]["guided"]["weight"] = 10.0
    toy.write_experiment(project, values)
    refused = genarm(project, "compare", "toy", "--register", "guided", ok=False)
    assert "answer-guided-0 would run" in refused


def lock(project) -> bytes:
    """What DVC has recorded of the experiment."""
    file = project / "experiments" / "toy" / "dvc.lock"
    return file.read_bytes() if file.exists() else b""
