"""Training on a pool of two workers, one of which is killed: the hashes are those of one machine alone.

A third clone then takes everything and runs nothing. A run that is killed is gone on with, one that is
interrupted cancels what it sent. No worker, or one with other libraries, is refused.
"""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
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
    def start(cls, folder: Path, server: dict[str, str], **more: str) -> "Worker":
        folder.mkdir(exist_ok=True)
        own = environment(folder) | {
            "PREFECT_API_URL": server["PREFECT_API_URL"],
            "PREFECT_HOME": str(folder / "prefect"),
            "GENARM_WORK": str(folder / "work"),
            **more,
        }
        words = ["-m", "prefect", "worker", "start", "--pool", "gpu", "--type", "process", "--limit", "1"]
        with (folder / "worker.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, *words], cwd=folder, env=own, stdout=log, stderr=log, start_new_session=True
            )
        return cls(folder, process)

    def trainings(self) -> list[psutil.Process]:
        found = []
        for process in psutil.Process(self.process.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                trains = [Path(word).name for word in process.cmdline()[-3:-1]] == ["genarm", "train"]
                if trains and "--pull" not in process.parent().cmdline():  # that asks what is there already
                    found.append(process)
        return found

    def holds_training(self) -> bool:
        """Whether it trains; the training is stopped."""
        for process in self.trainings():
            process.suspend()
        return bool(self.trainings())

    def go_on(self) -> None:
        for process in self.trainings():
            process.resume()

    def go_down(self) -> None:
        """SIGKILL for the worker and all that it started, as when a machine goes down."""
        if self.process.poll() is None:
            processes = psutil.Process(self.process.pid).children(recursive=True)
            for process in (self.process, *processes):
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            self.process.wait()


def dvc(folder: Path, *words: str) -> str:
    done = subprocess.run(
        ["dvc", *words], cwd=folder, env=environment(folder), check=True, capture_output=True, text=True
    )
    return done.stdout


def hashes(folder: Path) -> dict[str, str]:
    return {d: (folder / f"artifacts/train/{d}/arm.sha256").read_text() for d in DIMENSIONS}


def runs_of_workers(server: dict[str, str]) -> list[dict]:
    return ask(server, "flow_runs/filter", {"flows": {"name": {"any_": ["work"]}}})


def held_at_work(server: dict[str, str], workers: list[Worker]) -> list[dict]:
    """The runs of workers, once each of them trains; the trainings are stopped where they are.

    So they are at work at once on any machine, however long one of them takes to begin.
    """

    def all_held() -> bool:
        return all([worker.holds_training() for worker in workers])

    until(all_held, f"{len(workers)} train", 900)
    runs = [r for r in runs_of_workers(server) if r["state_type"] == "RUNNING"]
    assert len(runs) == len(workers)
    return runs


def begin(folder: Path, server: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        ["genarm", "-v", "run"], cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env=environment(folder) | {"PREFECT_API_URL": server["PREFECT_API_URL"]}, start_new_session=True,
    )  # fmt: skip


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


def test_a_worker_with_other_libraries_is_refused_and_asked_once(top, server):
    other = top / "other" / "colorama-9.9.9.dist-info"
    other.mkdir(parents=True)
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: colorama\nVersion: 9.9.9\n")
    worker = Worker.start(top / "odd", server, PYTHONPATH=str(other.parent))
    try:
        log = genarm(top / "one", "run", ok=False, PREFECT_API_URL=server["PREFECT_API_URL"])
    finally:
        worker.go_down()
    assert "has other versions than the run: colorama 9.9.9 here, " in log and "hint: install the same" in log
    assert [r["state_type"] for r in runs_of_workers(server)] == ["FAILED", "FAILED"], (
        "one for each dimension"
    )


def test_two_workers_train_at_once_and_a_killed_one_is_replaced(top, server):
    one, three = top / "one", top / "three"
    git(top, "clone", "--quiet", "remote.git", "three")
    workers = [Worker.start(top / name, server) for name in ("a", "b")]
    run = begin(one, server)
    try:
        both = held_at_work(server, workers)
        assert {r["parameters"]["stage"] for r in both} == {"train@vowels", "train@digits"}
        assert {r["labels"]["genarm.root"] for r in both} == {str(w.folder / "work") for w in workers}
        lost = both[0]
        (machine,) = (w for w in workers if str(w.folder / "work") == lost["labels"]["genarm.root"])
        machine.go_down()
        workers.remove(machine)
        workers[0].go_on()
        workers.append(Worker.start(machine.folder, server))
        log, _ = run.communicate(timeout=900)
        assert run.returncode == 0, log[-6000:]
    finally:
        run.kill()
        run.communicate()
        for worker in workers:
            worker.go_down()
    assert "is gone" in log and "sent again" in log
    runs = runs_of_workers(server)
    assert {r["id"]: r["state_type"] for r in runs}[lost["id"]] == "CRASHED"
    completed = sorted(r["parameters"]["stage"] for r in runs if r["state_type"] == "COMPLETED")
    assert completed == ["train@digits", "train@vowels"]
    for dimension in DIMENSIONS:
        dvc(top / "alone", "repro", f"train@{dimension}")
    assert hashes(one) == hashes(top / "alone")
    git(three, "pull", "--quiet")
    dvc(three, "pull")
    assert dvc(three, "status").strip() == "Data and pipelines are up to date."
    assert "Running stage" not in dvc(three, "repro") and git(three, "status", "--porcelain") == ""
    assert hashes(three) == hashes(one)


def test_a_killed_run_is_gone_on_with_and_an_interrupted_one_cancels(top, server):
    one = top / "one"
    params = toy_params(top / "base") | {"pools": {"train": "gpu"}}
    del params["dimensions"]["vowels"]
    params["train"] |= {"epochs": 4000}  # longer than the test
    write_params(one, params)
    git(one, "commit", "--quiet", "-am", "a long training")
    git(one, "push", "--quiet")
    worker = Worker.start(top / "a", server)
    first = begin(one, server)
    second = None
    try:
        (sent,) = held_at_work(server, [worker])
        worker.go_on()
        os.killpg(first.pid, signal.SIGKILL)
        first.communicate()
        second = begin(one, server)
        assert second.stdout is not None
        assert any("goes on on gpu, where an earlier run" in line for line in second.stdout)
        assert any("> genarm train digits" in line for line in second.stdout), "its log is ours"
        os.kill(second.pid, signal.SIGINT)
        log, _ = second.communicate(timeout=600)
        assert second.returncode == 130, log

        def state() -> str:
            return {r["id"]: r["state_type"] for r in runs_of_workers(server)}[sent["id"]]

        assert until(lambda: state() == "CANCELLED", "the training is cancelled", 600)
        assert until(lambda: not Path(f"/proc/{sent['labels']['genarm.pid']}").exists(), "it has ended")
    finally:
        for process in filter(None, (first, second)):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            process.stdout.close()
        worker.go_down()
