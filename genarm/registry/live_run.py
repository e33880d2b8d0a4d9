"""A training while it runs: its run in `genarm/train`, with its curves as they come.

The run is there to be looked at until the ARM is registered, which makes it the ARM's record
(`registering`): one training has one run. The curves are in files as well, so training never waits for the
server: rows are kept, up to a limit, and sent from a separate thread. A server that goes away is tried again
every few seconds and then gets the rows it missed.
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

from genarm.registry import tags
from genarm.registry.store import Store, connect, store_exists
from genarm.registry.user import user_name
from genarm.registry.versions import flatten
from genarm.system.metric_names import EVALUATION_LOSS, LOSS, POSITION, STEP, is_evaluation_row

if TYPE_CHECKING:
    from mlflow.entities import Metric

SECONDS = 5.0  # between two attempts to send
LAST_SECONDS = 20.0  # for how long the end of a training waits for the last rows to be sent
ROWS_KEPT = 10_000  # while the server is away; the oldest are dropped first, and are in the record anyway
ROWS_AT_ONCE = 25  # of at most 40 metrics each: MLflow takes 1000 in a batch
PARAMS_AT_ONCE, PARAM_LENGTH = 100, 500  # MLflow's limits
LOSSES = (LOSS, EVALUATION_LOSS)  # a row is of a step or of an evaluation, and has one of them

Row = Mapping[str, float]
log = logging.getLogger(__name__)


@contextmanager
def following(
    root: Path | None, name: str, facts: Mapping[str, str | None], params: Mapping[str, object]
) -> Iterator["RunJournal"]:
    """Show a training in MLflow where the project has a store; nowhere where `root` is None.

    `facts` become tags. A training with the same facts and parameters continues the same run until that has
    finished. Failures of MLflow are logged and never reach the training.
    """
    if root is None or not store_exists(root):
        yield RunJournal()
        return
    key = hashlib.sha256(json.dumps([facts, params], sort_keys=True).encode()).hexdigest()
    known = {tags.tag(fact): value for fact, value in facts.items() if value}
    live = LiveRun(root, name, {tags.TRAINING: key, **known}, params)
    live.start()
    status = "FAILED"
    try:
        yield live
        status = "FINISHED"
    finally:
        live.close(status)


class RunJournal:
    """Takes the rows of curves and the hash of the adapter that they led to, and keeps nothing of them."""

    adapter_sha256 = ""

    def __call__(self, row: Row) -> None:
        """Accept one row of the curves, with its step."""


class LiveRun(RunJournal):
    """Accepts rows of curves without delay and sends them when the server takes them."""

    def __init__(
        self, root: Path, name: str, run_tags: Mapping[str, str], params: Mapping[str, object]
    ) -> None:
        self._root, self._name, self._tags, self._params = root, name, dict(run_tags), params
        self._rows: deque[tuple[int, Row]] = deque(maxlen=ROWS_KEPT)  # with the time in milliseconds
        self._thread = threading.Thread(target=self._work, name="genarm-live", daemon=True)
        self._wake = threading.Event()
        self._status = ""  # with which the run ends; empty while training goes on
        self._store: Store | None = None
        self._run_id = ""
        self._last_step: dict[str, int] = {}  # in the run already, by the name of the loss
        self._warned = False

    def __call__(self, row: Row) -> None:
        """Keep one row of the curves, with its step, until it is sent."""
        self._rows.append((int(time.time() * 1000), row))

    @property
    def waiting(self) -> int:
        """The number of rows that MLflow has not taken yet."""
        return len(self._rows)

    def start(self) -> None:
        """Begin to send, from a thread of its own."""
        self._thread.start()

    def close(self, status: str) -> None:
        """Send what is left, if the server takes it in time, and end the run with `status`."""
        self._status = status
        self._wake.set()
        self._thread.join(LAST_SECONDS)
        if self._rows:
            log.warning("%s: MLflow did not take the last %d rows of curves", self._name, len(self._rows))

    def _work(self) -> None:
        while True:
            self._wake.wait(SECONDS)
            final_status = self._status
            try:
                self._send(final_status)
                self._warned = False
            except Exception as error:  # no failure of MLflow is a reason to stop training
                self._store = None
                if not self._warned:
                    log.warning("%s: MLflow: %s; training goes on, curves are kept", self._name, error)
                self._warned = True
            if final_status:
                return

    def _send(self, final_status: str) -> None:
        if self._store is None:
            self._store = self._opened()
        client = self._store.client
        while self._rows:
            batch = list(self._rows)[:ROWS_AT_ONCE]
            if metrics := [metric for timestamp, row in batch for metric in self._metrics(timestamp, row)]:
                client.log_batch(self._run_id, metrics=metrics)
            for sent in batch:
                if self._rows and self._rows[0] is sent:  # else it was dropped in the meantime
                    self._rows.popleft()
        if final_status:
            if final_status == "FINISHED" and self.adapter_sha256:
                client.set_tag(self._run_id, tags.ADAPTER_SHA256, self.adapter_sha256)
            client.set_terminated(self._run_id, final_status)

    def _metrics(self, timestamp: int, row: Row) -> list["Metric"]:
        """A row's metrics; none where the run has the row already, from before training was resumed."""
        from mlflow.entities import Metric

        step = int(row[STEP])
        if step <= self._last_step[EVALUATION_LOSS if is_evaluation_row(row) else LOSS]:
            return []
        return [
            Metric(name, float(value), timestamp, step) for name, value in row.items() if name not in POSITION
        ]

    def _opened(self) -> Store:
        """The store, with the run of this training found or created, and how far its curves have come."""
        from mlflow.entities import Param

        store = connect(self._root)
        client, experiment = store.client, store.experiment(tags.TRAIN_EXPERIMENT)
        if not self._run_id:
            same = f"tags.`{tags.TRAINING}` = '{self._tags[tags.TRAINING]}'"
            found = client.search_runs([experiment], f"{same} and status != 'FINISHED'")
            # One that has an adapter is being registered: the next registration sees to it.
            unfinished = [run for run in found if tags.ADAPTER_SHA256 not in run.data.tags]
            if unfinished:
                self._run_id = unfinished[0].info.run_id
                client.update_run(self._run_id, status="RUNNING")
            else:
                for_mlflow = {tags.SOURCE_NAME: f"genarm {self._name}"}
                if user := user_name():
                    for_mlflow[tags.USER] = user
                run = client.create_run(experiment, run_name=self._name, tags=self._tags | for_mlflow)
                self._run_id = run.info.run_id
                settings = flatten(self._params).items()
                params = [Param(name, str(value)[:PARAM_LENGTH]) for name, value in settings]
                client.log_batch(self._run_id, params=params[:PARAMS_AT_ONCE])
        for loss in LOSSES:
            history = client.get_metric_history(self._run_id, loss)
            self._last_step[loss] = max((metric.step for metric in history), default=-1)
        return store
