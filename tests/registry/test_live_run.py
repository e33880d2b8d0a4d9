"""Curves in MLflow while a training runs; a server that goes away and comes back holds each row once."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from genarm.registry import live_run, tags
from genarm.registry.live_run import following

FACTS = {"dimension": "loud", "data_md5": "d1", "git_commit": None}
PARAMS = {"beta": 0.1, "lora": {"rank": 2}}


def rows(start: int, end: int) -> list[dict[str, float]]:
    found = [{"step": float(s), "loss": 1 / s, "grad_norm": 2.0} for s in range(start, end)]
    return [*found, {"step": float(end - 1), "eval/loss": 0.5}]


def test_a_project_without_a_store_gets_none(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    for root in (tmp_path, None):
        with following(root, "train loud", FACTS, PARAMS) as follow:
            for row in rows(1, 3):
                follow(row)
            follow.adapter_sha256 = "abc"
    assert not list(tmp_path.iterdir())


def test_a_server_that_never_answers_is_noticed_once_and_by_nobody_else(tmp_path, monkeypatch, caplog):
    with socket.socket() as taken:  # listens to nobody
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{taken.getsockname()[1]}")
        monkeypatch.setattr(live_run, "SECONDS", 0.05)
        with following(tmp_path, "train loud", FACTS, PARAMS) as follow:
            for row in rows(1, 4):
                follow(row)
            time.sleep(0.5)
    assert caplog.text.count("training goes on, curves are kept") == 1
    assert "did not take the last 4 rows" in caplog.text


class Server:
    def __init__(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.folder, self.uri = folder, f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        import requests

        command = [sys.executable, "-m", "mlflow", "server", "--port", str(self.port), "--workers", "1"]
        command += ["--backend-store-uri", f"sqlite:///{self.folder}/mlflow.db"]
        command += ["--artifacts-destination", str(self.folder / "files")]
        with (self.folder / "log").open("w") as log:
            without_jobs = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, env=without_jobs, start_new_session=True
            )
        end = time.monotonic() + 90
        while time.monotonic() < end:
            try:
                if requests.get(f"{self.uri}/health", timeout=1).ok:
                    return
            except requests.RequestException:
                time.sleep(0.3)
        raise AssertionError((self.folder / "log").read_text())

    def kill(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@pytest.mark.slow
def test_the_server_is_killed_and_comes_back_to_all_rows_once(tmp_path, monkeypatch, caplog):
    from mlflow import MlflowClient

    server = Server(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    monkeypatch.setattr(live_run, "SECONDS", 0.2)
    server.start()
    try:
        with following(tmp_path, "train loud", FACTS, PARAMS) as follow:
            for row in rows(1, 40):
                follow(row)
            end = time.monotonic() + 60
            while follow.waiting and time.monotonic() < end:
                time.sleep(0.1)
            assert not follow.waiting, "they came while it trained"
            server.kill()
            for row in rows(40, 90):
                follow(row)
            end = time.monotonic() + 60
            while "training goes on" not in caplog.text and time.monotonic() < end:
                time.sleep(0.1)
            server.start()
            follow.adapter_sha256 = "abc"
        client = MlflowClient(server.uri)
        experiment = client.get_experiment_by_name(tags.TRAIN_EXPERIMENT)
        (run,) = client.search_runs([experiment.experiment_id])
        assert (run.info.status, run.data.params["lora.rank"]) == ("FINISHED", "2")
        assert run.data.tags["genarm.dimension"] == "loud" and "genarm.git_commit" not in run.data.tags
        losses = sorted((m.step, m.value) for m in client.get_metric_history(run.info.run_id, "loss"))
        assert losses == [(s, 1 / s) for s in range(1, 90)]
        assert [m.step for m in client.get_metric_history(run.info.run_id, "eval/loss")] == [39, 89]

        # A second training of the same data, cut short, goes on in its own run and repeats nothing.
        with pytest.raises(RuntimeError), following(tmp_path, "train loud", FACTS, PARAMS) as follow:
            for row in rows(1, 6):
                follow(row)
            raise RuntimeError
        with following(tmp_path, "train loud", FACTS, PARAMS) as follow:
            for row in [*rows(1, 4), *rows(4, 9)]:
                follow(row)
        runs = client.search_runs([experiment.experiment_id], order_by=["start_time DESC"])
        assert [r.info.status for r in runs] == ["FINISHED", "FINISHED"]
        assert [m.step for m in client.get_metric_history(runs[0].info.run_id, "loss")] == [*range(1, 9)]
    finally:
        server.kill()
