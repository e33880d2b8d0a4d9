"""A training while it runs: one run in `genarm/live` for each, its curves as they come.

The record of an ARM is its run in `genarm/train`, made when it is registered; the two name each other. Here
only somebody looks on, so nothing waits for the server: rows are kept, up to a bound, and sent from a thread
of their own. A server that goes away is asked again every few seconds and gets what it missed.
"""

import hashlib
import json
import logging
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from genarm.registry.store import Store, connect, is_there
from genarm.registry.versions import SHA, flatten

if TYPE_CHECKING:
    from mlflow.entities import Metric

EXPERIMENT = "genarm/live"
KEY = "genarm.training"
SECONDS = 5.0  # between two sendings
LAST_SECONDS = 20.0  # that the end of a training waits for the last one
ROWS = 10_000  # kept while the server is away; the oldest go first, and are in the record nevertheless
AT_ONCE = 1000  # metrics of a batch: MLflow's limit
KINDS = ("loss", "eval/loss")  # a row is of a step, or of an evaluation

Row = Mapping[str, float]
log = logging.getLogger(__name__)


@contextmanager
def following(
    root: Path | None, name: str, tags: Mapping[str, str | None], params: Mapping[str, object]
) -> Iterator["Live"]:
    """Show a training in MLflow, where the project has a store; with no `root`, nowhere.

    The same tags and parameters go on in the same run, until it has finished. Whatever MLflow does, or fails
    to do, the training does not notice.
    """
    key = hashlib.sha256(json.dumps([tags, params], sort_keys=True).encode()).hexdigest()
    named = {f"genarm.{name}": value for name, value in tags.items() if value}
    live = Live(root or Path(), name, {KEY: key, **named}, params)
    if root and is_there(root):
        live.start()
    status = "FAILED"
    try:
        yield live
        status = "FINISHED"
    finally:
        live.close(status)


class Live:
    """Takes rows of curves at once and sends them when it can."""

    def __init__(self, root: Path, name: str, tags: Mapping[str, str], params: Mapping[str, object]) -> None:
        self._root, self._name, self._tags, self._params = root, name, dict(tags), params
        self._rows: deque[tuple[int, Row]] = deque(maxlen=ROWS)
        self._thread: threading.Thread | None = None
        self._wake = threading.Event()
        self._status = ""
        self._store: Store | None = None
        self._run = ""
        self._done: dict[str, int] = {}  # the last step of each kind that the run holds
        self._away = False
        self.adapter_sha256 = ""

    def __call__(self, row: Row) -> None:
        """One row of the curves, with its step."""
        if self._thread is None:
            return
        self._rows.append((int(time.time() * 1000), row))

    def start(self) -> None:
        self._thread = threading.Thread(target=self._work, name="genarm-live", daemon=True)
        self._thread.start()

    def close(self, status: str) -> None:
        """Send what is left, if somebody is there to take it."""
        if self._thread is None:
            return
        self._status = status
        self._wake.set()
        self._thread.join(LAST_SECONDS)
        if self._rows:
            log.warning("%s: MLflow did not take the last %d rows of curves", self._name, len(self._rows))

    def _work(self) -> None:
        while True:
            self._wake.wait(SECONDS)
            last = self._status
            try:
                self._send(last)
                self._away = False
            except Exception as error:  # whatever it is, it is no reason to stop a training
                self._store = None
                if not self._away:
                    log.warning("%s: MLflow: %s; training goes on, curves are kept", self._name, error)
                self._away = True
            if last:
                return

    def _send(self, last: str) -> None:
        if self._store is None:
            self._open()
        assert self._store is not None
        client = self._store.client
        while self._rows:
            taken = list(self._rows)[: AT_ONCE // 40]
            if metrics := [metric for row in taken for metric in self._metrics(*row)]:
                client.log_batch(self._run, metrics=metrics)
            for sent in taken:
                if self._rows and self._rows[0] is sent:
                    self._rows.popleft()
        if last:
            if last == "FINISHED" and self.adapter_sha256:
                client.set_tag(self._run, SHA, self.adapter_sha256)
            client.set_terminated(self._run, last)

    def _metrics(self, at: int, row: Row) -> list["Metric"]:
        """A row that the run has already, from before a resume, is left out: it is the same."""
        from mlflow.entities import Metric

        step, kind = int(row["step"]), KINDS["eval/loss" in row]
        if step <= self._done[kind]:
            return []
        return [Metric(n, float(v), at, step) for n, v in row.items() if n not in ("step", "epoch")]

    def _open(self) -> None:
        """Find the run of this training, or make it, and see how far it has come."""
        from mlflow.entities import Param

        store = connect(self._root)
        client, experiment = store.client, store.experiment(EXPERIMENT)
        if not self._run:
            found = client.search_runs(
                [experiment], f"tags.`{KEY}` = '{self._tags[KEY]}' and status != 'FINISHED'", max_results=1
            )
            if found:
                self._run = found[0].info.run_id
                client.update_run(self._run, status="RUNNING")
            else:
                made = client.create_run(experiment, run_name=self._name, tags=self._tags)
                self._run = made.info.run_id
                params = [Param(name, str(value)[:500]) for name, value in flatten(self._params).items()]
                client.log_batch(self._run, params=params[:100])
        self._done = {
            kind: max((m.step for m in client.get_metric_history(self._run, kind)), default=-1)
            for kind in KINDS
        }
        self._store = store


def link(store: Store, run_id: str, adapter_sha256: str) -> None:
    """Let the record of an ARM and the run of its training name each other, where there is one."""
    client = store.client
    experiment = client.get_experiment_by_name(EXPERIMENT)
    if experiment is None or experiment.lifecycle_stage == "deleted":
        return
    for run in client.search_runs([experiment.experiment_id], f"tags.`{SHA}` = '{adapter_sha256}'"):
        client.set_tag(run.info.run_id, "genarm.train_run", run_id)
        client.set_tag(run_id, "genarm.live_run", run.info.run_id)
