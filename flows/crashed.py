"""Runs whose process was killed: nobody told Prefect, so they would stay in state Running for ever.

A run labels itself with its project, host and process. The next run of the project and `genarm.flows.deploy`
mark those whose process is gone as Crashed, which gives back the slot that they hold. Runs on other hosts are
left alone: `automations.yaml` notices those by their missing heartbeats.
"""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.runtime import flow_run
from prefect.settings import get_current_settings
from prefect.states import Crashed

from genarm.system.owner import Owner
from genarm.watch.runs import FLOWS, HOST, ROOT

MACHINE = "genarm.machine"
PID, STARTED = "genarm.pid", "genarm.process_started"
UNLABELLED = timedelta(minutes=2)
PAGE = 200


def label_run(root: Path) -> None:
    """Label the run that this code is part of with the project, the host and this process."""
    run_id = flow_run.get_id()
    if run_id is None:  # called without Prefect
        return
    with get_client(sync_client=True) as client:
        client.update_flow_run_labels(UUID(run_id), _labels(root))


def mark_crashed(root: Path) -> list[str]:
    """Mark the project's runs on this host whose process is gone as Crashed; returns their names."""
    own, marked = flow_run.get_id(), []
    with get_client(sync_client=True) as client:
        for run in _running(client):
            if str(run.id) != own and (why := _crashed(run, root)):
                client.set_flow_run_state(run.id, Crashed(message=why))
                marked.append(run.name)
    return marked


def _labels(root: Path) -> dict[str, Any]:
    me = Owner.here()
    return {
        ROOT: str(root.resolve()),
        HOST: me.host,
        MACHINE: me.machine,
        PID: me.pid,
        STARTED: me.started,
    }


def _running(client: SyncPrefectClient) -> list[FlowRun]:
    state = FlowRunFilterStateType(any_=[StateType.RUNNING, StateType.CANCELLING, StateType.PAUSED])
    runs: list[FlowRun] = []
    while True:
        page = client.read_flow_runs(
            flow_filter=FlowFilter(name=FlowFilterName(any_=list(FLOWS))),
            flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=state)),
            sort=FlowRunSort.ID_DESC,
            limit=PAGE,
            offset=len(runs),
        )
        runs += page
        if len(page) < PAGE:
            return runs


def _crashed(run: FlowRun, root: Path) -> str | None:
    """Why a run that is said to be running is not; None for one that may be, or that is not ours to judge."""
    labels = run.labels
    if ROOT in labels:
        here = labels[ROOT] == str(root.resolve())
        return f"process {labels[PID]} on {labels[HOST]} is gone" if here and is_gone(labels) else None
    # Killed before it could label itself, or of an older genarm; a run that lives is labelled within seconds.
    # On a shared server it may be anybody's.
    temporary = get_current_settings().api.url is None
    old = run.start_time is not None and run.start_time < datetime.now(UTC) - UNLABELLED
    same_project = run.parameters.get("root") == str(root)
    return "its process is not known" if temporary and old and same_project else None


def is_gone(labels: dict[str, Any]) -> bool:
    """Whether the process has ended; never so of one of another machine."""
    try:
        host, machine = str(labels[HOST]), str(labels[MACHINE])
        return Owner(host, machine, int(labels[PID]), float(labels[STARTED])).is_gone
    except (KeyError, ValueError):  # edited by hand
        return False
