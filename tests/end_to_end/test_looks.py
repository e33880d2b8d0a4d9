"""A run that goes on after a hold, through real DVC: killed between looks, and by `dvc repro` alone."""

import json
import os
import re
import signal
import subprocess
import time

import pytest
from toy_pipeline import environment, genarm, git, make_base, make_project, toy_params

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("pipeline")]

RESULTS = (
    "responses/base.jsonl",
    "responses/challenger/digits.jsonl",
    "verdicts/vowels.jsonl",
    "decisions.json",
)


def test_killed_between_looks_and_by_dvc_alone_it_ends_the_same(tmp_path):
    """Nothing is decided with alpha 1e-9, so 10, 25 and then all 34 prompts are answered."""
    make_base(tmp_path / "base")
    params = toy_params(tmp_path / "base")
    params["respond"]["prompts"] = 10
    params["decide"] |= {"alpha": 1e-9, "max_prompts": 60, "batch_prompts": 15, "extra": "more.jsonl"}
    project = tmp_path / "project"
    make_project(project, params)
    rows = [json.dumps({"prompt": f"say {i}"}) for i in range(53, 70)]  # seven of them are of the pairs
    (project / "more.jsonl").write_text("\n".join(rows) + "\n")
    refused = genarm(project, "run", ok=False)
    assert "add `- more.jsonl` to the deps of the stage prompts in dvc.yaml" in refused
    stages = (project / "dvc.yaml").read_text()
    (project / "dvc.yaml").write_text(
        stages.replace(
            "- artifacts/pairs\n      - data\n", "- artifacts/pairs\n      - data\n      - more.jsonl\n"
        )
    )

    with (tmp_path / "log").open("w") as log:
        run = subprocess.Popen(
            ["genarm", "run"],
            cwd=project,
            env=environment(project),
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    while "look 1 " not in (tmp_path / "log").read_text() and run.poll() is None:
        time.sleep(0.5)
    time.sleep(5)  # the second look is under way
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    lock = project / "dvc.lock"
    lock.write_text(lock.read_text()[:-30])  # DVC writes it in place: the kill may come in the middle
    log = genarm(project, "run")
    assert "dvc.lock, which a killed DVC had left cut short, ends after " in log
    assert "prompts are new" not in log, "that stage was done before"
    assert "look 1 " in log and "look 2 " in log and "25 prompts" in log and "as computed before" in log
    looks = json.loads((project / "mlflow/looks.json").read_text())
    assert (
        looks["vowels"] == looks["digits"] and looks["vowels"][:2] == [10, 25] and len(looks["vowels"]) == 3
    )
    decisions = json.loads((project / "artifacts/decisions.json").read_text())
    assert {d["outcome"] for d in decisions.values()} == {"hold"}
    assert re.search(r"look 3, \d+ of at most 60 prompts, adjusted", decisions["vowels"]["reasons"][0])
    assert not list((project / ".cache/kept").iterdir())
    again = genarm(project, "run")
    assert "decide                   unchanged" in again and "look 3 " in again

    git(project, "add", "-A")
    git(project, "-c", "user.name=t", "-c", "user.email=t@t", "commit", "--quiet", "-m", "looked")
    clone = tmp_path / "clone"
    git(project, "clone", "--quiet", "--no-hardlinks", str(project), str(clone))
    (clone / "dvc.lock").unlink()
    subprocess.run(["dvc", "repro"], cwd=clone, env=environment(clone), check=True, capture_output=True)
    for name in RESULTS:
        assert (clone / "artifacts" / name).read_bytes() == (project / "artifacts" / name).read_bytes(), name
