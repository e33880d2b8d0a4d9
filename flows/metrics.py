"""Metrics that a flow leaves for Prometheus once it has ended, where `watch.metrics` names a file."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from prefect import Flow
from prefect.client.schemas.objects import FlowRun, State
from prefect.logging.loggers import flow_run_logger

from genarm.errors import GenarmError
from genarm.pipeline.project import Project
from genarm.watch.metrics import write
from genarm.watch.runs import Run
from genarm.watch.status import status


def write_metrics(flow: "Flow[..., Any]", flow_run: FlowRun, state: State) -> None:
    """Write the status of the project as it is now. Whatever is in the way is told, and changes nothing."""
    root = flow_run.parameters.get("root")
    try:
        project = Project.find(Path(root) if root else None)
        if file := project.params.watch.metrics:
            write(status(project.root, _run(flow, flow_run, state)), project.root / file)
    except (GenarmError, OSError) as error:
        flow_run_logger(flow_run, flow).warning("watch.metrics: %s", error)


def _run(flow: "Flow[..., Any]", flow_run: FlowRun, state: State) -> Run:
    """The run that has just ended, for where no server can be asked."""
    began, ended = flow_run.start_time or datetime.now(UTC), datetime.now(UTC)
    return Run(
        str(flow_run.id),
        flow.name,
        flow_run.name,
        state.name or "",
        began.astimezone(UTC).isoformat(timespec="seconds"),
        ended.isoformat(timespec="seconds"),
        round((ended - began).total_seconds(), 1),
    )


AT_ITS_END: dict[str, Any] = {
    name: [write_metrics] for name in ("on_completion", "on_failure", "on_crashed", "on_cancellation")
}
