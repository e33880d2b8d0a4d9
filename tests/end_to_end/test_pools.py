"""Training on a pool of two workers, one of which is killed: the hashes are those of one machine alone.

A third clone then takes everything and runs nothing. A pool that nobody works for is refused within a minute.
"""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from prefect_shell import ask, prefect, running_server, until
from toy_pipeline import environment, genarm, git, make_base, make_project, toy_params, write_params

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("pools"), pytest.mark.timeout(1800)]

DIMENSIONS = ("vowels", "digits")
STEPS = 40  # epochs: long enough to be killed midway


@dataclass(frozen=True)
class Worker:
    """`prefect worker start` in a folder of its own, as on a machine of its own."""

    folder: Path
    process: subprocess.Popen[bytes]

    @classmethod
    def start(cls, folder: Path, server: dict[str, str]) -> "Worker":
        folder.mkdir(exist_ok=True)
        own = environment(folder) | {
            "PREFECT_API_URL": server["PREFECT_API_URL"],
            "PREFECT_HOME": str(folder / "prefect"),
            "GENARM_WORK": str(folder / "work"),
        }
        words = ["-m", "prefect", "worker", "start", "--pool", "gpu", "--type", "process"]
        with (folder / "worker.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, *words], cwd=folder, env=own, stdout=log, stderr=log, start_new_session=True
            )
        return cls(folder, process)

    def go_down(self, *pids: int) -> None:
        """SIGKILL for the worker and the processes of its runs, as when a machine goes down."""
        for kill, pid in [(os.killpg, self.process.pid), *((os.kill, pid) for pid in pids)]:
            with suppress(ProcessLookupError):
                kill(pid, signal.SIGKILL)
        self.process.wait()


def dvc(folder: Path, *words: str) -> str:
    done = subprocess.run(
        ["dvc", *words], cwd=folder, env=environment(folder), check=True, capture_output=True, text=True
    )
    return done.stdout


def hashes(folder: Path) -> dict[str, str]:
    return {d: (folder / f"artifacts/train/{d}/arm.sha256").read_text() for d in DIMENSIONS}


def stages_at_work(server: dict[str, str]) -> dict[str, dict]:
    """The runs of workers in which a training is under way, by stage."""
    lines = ask(server, "logs/filter", {"logs": {"level": {"ge_": 20}}, "limit": 200})
    training = {line["flow_run_id"] for line in lines if line["message"].startswith("Running stage 'train@")}
    runs = ask(server, "flow_runs/filter", {"flows": {"name": {"any_": ["work"]}}})
    return {
        run["parameters"]["stage"]: run
        for run in runs
        if run["id"] in training and run["state_type"] == "RUNNING"
    }


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with running_server(tmp_path_factory.mktemp("prefect")) as shell:
        prefect(shell, "work-pool", "create", "gpu", "--type", "process")
        prefect(shell, "work-pool", "create", "empty", "--type", "process")
        yield shell


@pytest.fixture(scope="module")
def top(tmp_path_factory):
    """A project with a bare git remote and a DVC remote beside it, that trains on the pool `gpu`."""
    top = tmp_path_factory.mktemp("team")
    make_base(top / "base")
    params = toy_params(top / "base")
    params["train"] |= {"epochs": STEPS}
    params["dimensions"]["vowels"]["weight"] = 20.0
    params["respond"] |= {"prompts": 8}
    make_project(top / "alone", params)
    make_project(top / "one", params)
    one = top / "one"
    params |= {"pools": {"train": "gpu"}, "publish": {"dvc": "push", "git": "commit", "push": True}}
    write_params(one, params)
    git(top, "init", "--quiet", "--bare", "-b", "main", "remote.git")
    git(one, "config", "user.name", "t")
    git(one, "config", "user.email", "t@example.org")
    dvc(one, "remote", "add", "-q", "-d", "store", str(top / "store"))
    git(one, "checkout", "--quiet", "-B", "main")
    git(one, "remote", "set-url", "origin", str(top / "remote.git"))
    git(one, "commit", "--quiet", "-am", "pools and remotes")
    git(one, "push", "--quiet", "-u", "origin", "main")
    return top


def test_a_pool_without_workers_is_refused_within_a_minute(top, server):
    one = top / "one"
    write_params(one, toy_params(top / "base") | {"pools": {"train": "empty"}})
    git(one, "commit", "--quiet", "-am", "a pool that nobody works for")
    began = time.monotonic()
    log = genarm(one, "run", ok=False, PREFECT_API_URL=server["PREFECT_API_URL"])
    assert "is not known to be at origin" in log and time.monotonic() - began < 60
    git(one, "push", "--quiet")
    began = time.monotonic()
    log = genarm(one, "run", ok=False, PREFECT_API_URL=server["PREFECT_API_URL"])
    assert "no worker of empty was seen in the last minute; it never had one" in log
    assert time.monotonic() - began < 90, "60 s, and a start"
    git(one, "revert", "--no-edit", "HEAD")
    git(one, "push", "--quiet")


def test_two_workers_train_at_once_and_a_killed_one_is_replaced(top, server):
    one, three = top / "one", top / "three"
    git(top, "clone", "--quiet", "remote.git", "three")
    workers = [Worker.start(top / name, server) for name in ("a", "b")]
    run = subprocess.Popen(
        ["genarm", "-v", "run"], cwd=one, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env=environment(one) | {"PREFECT_API_URL": server["PREFECT_API_URL"]},
    )  # fmt: skip
    try:
        both = until(lambda: found if len(found := stages_at_work(server)) == 2 else None, "both train", 400)
        lost = both["train@vowels"]
        at_work = {run["id"]: run["labels"]["genarm.root"] for run in both.values()}
        (machine,) = (w for w in workers if at_work[lost["id"]] == str(w.folder / "work"))
        machine.go_down(
            *(
                run["labels"]["genarm.pid"]
                for run in both.values()
                if at_work[run["id"]] == at_work[lost["id"]]
            )
        )
        workers.append(Worker.start(machine.folder, server))
        log, _ = run.communicate(timeout=900)
        assert run.returncode == 0, log[-6000:]
    finally:
        run.kill()
        for worker in workers:
            worker.go_down()
    assert "is gone" in log and "sent again" in log
    runs = ask(server, "flow_runs/filter", {"flows": {"name": {"any_": ["work"]}}})
    assert {r["id"]: r["state_type"] for r in runs}[lost["id"]] == "CRASHED"
    assert sorted(r["parameters"]["stage"] for r in runs if r["state_type"] == "COMPLETED") == [
        "train@digits",
        "train@vowels",
    ]
    for dimension in DIMENSIONS:
        dvc(top / "alone", "repro", f"train@{dimension}")
    assert hashes(one) == hashes(top / "alone")
    git(three, "pull", "--quiet")
    dvc(three, "pull")
    assert dvc(three, "status").strip() == "Data and pipelines are up to date."
    assert "Running stage" not in dvc(three, "repro") and git(three, "status", "--porcelain") == ""
    assert hashes(three) == hashes(one)
