"""A client of MLflow that waits longer where a server has files to store or to fetch."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mlflow import MlflowClient

from genarm.system.env import MLFLOW_SECONDS

TIMEOUT = "MLFLOW_HTTP_REQUEST_TIMEOUT"
BYTES_PER_SECOND = 5_000_000  # a server that passes files on to a slow store
DOWNLOAD_SECONDS = 60  # until the first byte: the server may fetch the file first
_one_at_a_time = threading.RLock()


class PatientClient(MlflowClient):
    """MLflow's client; a file's upload may take as long as its size needs.

    The time-out of a request is short, so that a server that hangs is soon told. But a server answers an
    upload only when it has stored the file.
    """

    def log_artifact(self, run_id: str, local_path: str, *args: Any, **kwargs: Any) -> None:
        """See MlflowClient."""
        with waiting(upload_seconds(local_path)):
            super().log_artifact(run_id, local_path, *args, **kwargs)

    def log_artifacts(self, run_id: str, local_dir: str, *args: Any, **kwargs: Any) -> None:
        """See MlflowClient."""
        with waiting(upload_seconds(local_dir)):
            super().log_artifacts(run_id, local_dir, *args, **kwargs)

    def log_model_artifacts(self, model_id: str, local_dir: str, *args: Any, **kwargs: Any) -> None:
        """See MlflowClient."""
        with waiting(upload_seconds(local_dir)):
            super().log_model_artifacts(model_id, local_dir, *args, **kwargs)


def upload_seconds(path: str) -> int:
    """How long the largest file of a folder, or the file itself, may take."""
    place = Path(path)
    files = [place] if place.is_file() else [f for f in place.rglob("*") if f.is_file()]
    return int(MLFLOW_SECONDS) + max((f.stat().st_size for f in files), default=0) // BYTES_PER_SECOND


@contextmanager
def waiting(seconds: int) -> Iterator[None]:
    """Give requests this long, unless the user has set a time-out.

    MLflow reads the time-out of a request from the environment, when it sends the request.
    """
    with _one_at_a_time:
        before = os.environ.get(TIMEOUT)
        if before != MLFLOW_SECONDS:  # the user's own, or MLflow's default of two minutes
            yield
            return
        os.environ[TIMEOUT] = str(max(seconds, int(MLFLOW_SECONDS)))
        try:
            yield
        finally:
            os.environ[TIMEOUT] = before
