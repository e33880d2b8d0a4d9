"""The environment that every genarm process runs in: quiet, local, and the same however it is started.

Every entry point calls `prepare(root)` before prefect, mlflow, dvc or torch is imported: they then read their
settings. What the user has set is kept. Importing genarm sets nothing.
"""

import os
import sys
from pathlib import Path

from genarm.system.root import check_root

TELEMETRY_OFF = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "true",  # MLflow knows only the word "true", Prefect takes it too
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DVC_NO_ANALYTICS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}
THIS_MACHINE = ("127.0.0.1", "localhost", "::1")
MLFLOW_SECONDS = "8"  # for one request to an MLflow server


def project_root(start: Path | None = None) -> Path:
    """The nearest folder at or above `start` that holds `params.yaml`; `start` itself where none does."""
    start = (start or Path.cwd()).resolve()
    return next((p for p in (start, *start.parents) if (p / "params.yaml").is_file()), start)


def local_tracking_uri(root: Path) -> str:
    """The MLflow store of a project that names no other one: an SQLite file in its folder.

    Raises ConfigError for a folder that such an address cannot name.
    """
    check_root(root)
    return f"sqlite:///{root / 'mlflow' / 'mlflow.db'}"


def prepare(root: Path) -> None:
    """Set the defaults of this process and of those it starts; values that are set already win."""
    defaults = {
        **TELEMETRY_OFF,
        "PREFECT_HOME": str(root / ".prefect"),
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",  # what notices a dead run waits for three of them
        "MLFLOW_TRACKING_URI": local_tracking_uri(root),
        # A server that hangs is told within ten seconds; MLflow by itself retries for minutes. A second try
        # could also do twice what the first one did without an answer. Uploads get more time, by their size.
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": MLFLOW_SECONDS,
        "MLFLOW_LOGGING_LEVEL": "WARNING",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",  # it draws one for three small files
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # standard output is for what `--json` prints
        "MLFLOW_UV_AUTO_DETECT": "false",  # else it stores any uv lock file it finds with every model
        "TOKENIZERS_PARALLELISM": "false",
        # Threads that wait for one another sleep instead of spinning. Measured once on two shared cores,
        # training ran at 3.4 pairs/s against 1.5, and beside a busy process at 2.9 against less than 0.6.
        "OMP_WAIT_POLICY": "PASSIVE",
        # But they spin for some microseconds first: a pass over one token took 0.65 of the time (2026-11-22).
        "GOMP_SPINCOUNT": "1000",
    }
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
    _reach_this_machine_directly()
    # A stage is started as `genarm ...` by DVC: it must be the genarm of this interpreter.
    scripts = str(Path(sys.executable).parent)
    path = os.environ.get("PATH", "")
    if scripts not in path.split(os.pathsep):
        os.environ["PATH"] = os.pathsep.join((scripts, path))


def _reach_this_machine_directly() -> None:
    # A proxy cannot reach the servers of this machine: the temporary one of Prefect seems never to start.
    names = [name.lower() for name, value in os.environ.items() if value and name.lower().endswith("_proxy")]
    if not {*names} - {"no_proxy"}:
        return  # without a proxy nothing is exempt, and on macOS the variable would hide the system's proxies
    # Libraries read one spelling or the other, so both are made the same.
    exempt = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    listed = [entry.strip() for entry in exempt.split(",") if entry.strip()]
    if "*" not in listed:
        listed += [host for host in THIS_MACHINE if host not in listed]
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = ",".join(listed)
