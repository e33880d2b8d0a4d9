"""The whole pipeline on a toy, through real DVC, MLflow and Prefect, in a clone of this repository."""

import json
import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path

import pytest
from toy_pipeline import environment, genarm, git, make_base, make_project, toy_params, write_params

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("pipeline")]  # one project, one first run


def adapters(project: Path) -> dict[str, str]:
    return {
        path.parent.name: json.loads(path.read_text())["adapter_sha256"]
        for path in project.glob("artifacts/arms/*/arm.json")
    }


def versions(project: Path) -> list[dict[str, object]]:
    return json.loads(genarm(project, "registry", "list", "--json"))


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("base")
    make_base(folder)
    return folder


@pytest.fixture(scope="module")
def project(base, tmp_path_factory):
    folder = tmp_path_factory.mktemp("clone") / "project"
    make_project(folder, toy_params(base))
    return folder


@pytest.fixture(scope="module")
def first_run(project):
    return genarm(project, "run")


def test_from_data_to_a_promoted_champion(project, first_run):
    decisions = json.loads((project / "artifacts/decisions.json").read_text())
    assert {d: v["outcome"] for d, v in decisions.items()} == {"vowels": "promote", "digits": "promote"}
    champions = json.loads((project / "mlflow/champions.json").read_text())
    assert {d: c["adapter_sha256"] for d, c in champions.items()} == adapters(project)
    assert sorted(v["version"] for v in versions(project)) == [1, 1]
    tuned = json.loads((project / "artifacts/tune/vowels/tuned.json").read_text())
    assert {d: c["weight"] for d, c in champions.items()} == {"vowels": tuned["weight"], "digits": 20.0}
    card = json.loads((project / "artifacts/arms/vowels/arm.json").read_text())
    assert card["weight"] == 1.0, "it was written before the weight was found"
    assert json.loads((project / "artifacts/tune/digits/tuned.json").read_text())["source"] == "params.yaml"
    report = (project / "artifacts/report/report.html").read_text()
    assert report.count('class="plane"') == 1, "the curve of the weight that was found"
    assert "vowels to be promoted" in report and "toy_scorers:vowels, toy_scorers.py sha256 " in report
    assert "not known</span></td><td" not in report, "what each side's answers cost was noted"
    assert "report" in first_run and "artifacts/report/report.html" in first_run
    changed = {line[3:] for line in git(project, "status", "--porcelain").splitlines()}
    assert changed <= {"dvc.lock", "mlflow/champions.json"}


def test_the_console_has_a_line_a_stage_and_prefect_has_everything(project, first_run):
    stages = [
        "pairs vowels",
        "prompts",
        "train vowels",
        "tune vowels",
        "respond base",
        "judge digits",
        "decide",
        "report",
    ]
    assert all(len(re.findall(rf"^{stage}  +\S.* s$", first_run, re.MULTILINE)) == 1 for stage in stages)
    assert not re.search(r"\x1b|Running stage|lock file|Finished in state|Warning|\{", first_run)
    decided = first_run.partition("dimension ┃")[2]
    assert decided.count("win rate") == 4, "two decisions on two dimensions, told once"
    with closing(sqlite3.connect(project / ".prefect" / "prefect.db")) as database:
        name, message = database.execute(
            "select r.name, s.message from flow_run r join flow_run_state s on s.id = r.state_id"
        ).fetchone()
        tasks = {name for (name,) in database.execute("select name from task_run")}
        log = {message for (message,) in database.execute("select message from log")}
    assert message == "vowels promoted, digits promoted" and name == f"align: {message}"
    assert {*stages, "register vowels", "promote digits"} <= tasks
    assert {"Running stage 'train@vowels':", "Updating lock file 'dvc.lock'"} <= log
    assert any("validation accuracy" in line for line in log)


def test_again_nothing_is_done_twice(project, first_run):
    before = adapters(project), (project / "artifacts/responses/base.jsonl").stat().st_mtime_ns
    again = genarm(project, "run")
    assert again.count("already") >= 2 and "respond" not in again
    assert (adapters(project), (project / "artifacts/responses/base.jsonl").stat().st_mtime_ns) == before
    assert len(versions(project)) == 2


def test_one_changed_dimension_concerns_it_alone_and_without_a_weight_within_the_limits_it_is_rejected(
    project, first_run, base
):
    params = toy_params(base)
    params["dimensions"]["digits"] |= {"train": {"learning_rate": 0.01}, "weight": "tuned"}
    params["tune"]["max_kl"] = 1e-6
    write_params(project, params)
    before = adapters(project)
    log = genarm(project, "run")
    after = adapters(project)
    assert after["vowels"] == before["vowels"] and after["digits"] != before["digits"]
    assert re.search(r"^train digits +28 pairs, validation accuracy [\d.]+ .*, [\d.]+ s$", log, re.MULTILINE)
    assert re.search(r"^train vowels +unchanged$", log, re.MULTILINE)
    assert "respond vowels" not in log and "tune vowels" not in log, "what is in use has its weight"
    assert re.search(r"^tune digits +none of 2 weights keeps the limits, ", log, re.MULTILINE)
    decision = json.loads((project / "artifacts/decisions.json").read_text())["digits"]
    assert decision["champion"]["version"] == 1 and decision["outcome"] == "reject"
    assert decision["reasons"][0].startswith(
        "digits: no weight of 2 keeps the limits of tuning on validation"
    )
    report = (project / "artifacts/report/report.html").read_text()
    assert "no weight within the limits" in report and report.count('class="plane"') == 1
    params["tune"]["weights"] = [1.0]
    write_params(project, params)
    said = genarm(project, "plan", "--json")  # after what it warns of
    plan = {stage["stage"]: stage for stage in json.loads(said[said.index("[\n") :])}
    assert plan["tune@digits"]["why"].startswith("tune.weights [5.0, 20.0] -> [1.0]")
    assert plan["respond@digits"]["runs"] and not plan["train@digits"]["runs"], (
        "another grid retrains nothing"
    )
    assert not plan["tune@vowels"]["runs"]


def test_killed_anywhere_it_ends_the_same(project, first_run, tmp_path):
    """SIGKILL at several moments of a fresh run; the run after them gives one version a dimension."""
    clone = tmp_path / "project"
    git(project, "clone", "--quiet", "--no-hardlinks", str(project), str(clone))
    rng = random.Random(0)
    for _ in range(3):
        run = subprocess.Popen(
            ["genarm", "run"], cwd=clone, env=environment(clone), start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        time.sleep(rng.uniform(8, 40))
        with_children = os.getpgid(run.pid)
        os.killpg(with_children, signal.SIGKILL)
        run.wait()
    genarm(clone, "run")
    reference = tmp_path / "reference"
    git(project, "clone", "--quiet", "--no-hardlinks", str(project), str(reference))
    subprocess.run(
        ["dvc", "repro", "train"], cwd=reference, env=environment(reference), check=True, capture_output=True
    )
    assert adapters(clone) == adapters(reference)
    assert sorted(v["version"] for v in versions(clone)) == [1, 1]
    assert "nothing to mend" in genarm(clone, "registry", "reconcile")


def test_two_runs_at_once_the_second_says_who_is_first(project, first_run):
    from filelock import FileLock

    with FileLock(project / ".cache" / "run.lock"):
        refused = genarm(project, "run", ok=False)
    assert "another run of this project is in progress" in refused


def test_a_misspelt_parameter_stops_the_run_before_it_starts(project, base):
    params = toy_params(base)
    params["decide"]["alfa"] = 0.1
    shutil.copy(project / "params.yaml", project / "params.kept")
    write_params(project, params)
    try:
        assert "did you mean 'alpha'" in genarm(project, "run", ok=False)
    finally:
        (project / "params.kept").rename(project / "params.yaml")
