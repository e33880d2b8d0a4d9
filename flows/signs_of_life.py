"""Whether the machine that works on a stage is still there: nobody tells Prefect when one goes down."""

import time
from dataclasses import dataclass, field
from uuid import UUID

from prefect import get_run_logger
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    FlowRunFilterTags,
    LogFilter,
    LogFilterFlowRunId,
    LogFilterLevel,
)
from prefect.client.schemas.objects import FlowRun, Log, StateType
from prefect.client.schemas.sorting import LogSort
from prefect.events.filters import EventFilter, EventNameFilter, EventResourceFilter
from prefect.states import Cancelled, Crashed

from genarm.errors import PipelineError
from genarm.pipeline.elsewhere.job import Job
from genarm.pipeline.stage_summary import title_of
from genarm.watch.runs import HOST

from . import crashed
from .pools import has_worker
from .run_console import told

BEAT = "prefect.flow-run.heartbeat"  # every 30 s, from the process of a run
SILENCE = 150.0  # seconds without one, after which a machine is lost
PENDING = 900.0  # seconds from a worker's taking a run to its start: an image may have to be fetched
NO_WORKER = 600.0  # seconds that a pool may be without a worker once the run has begun
BETWEEN = 15.0  # seconds between two looks at heartbeats or workers


@dataclass
class Sent:
    """A stage under way on a pool, and what was last heard of it. Times are of this process's own clock."""

    job: Job
    pool: str
    run: UUID
    attempt: int = 1
    began: float = field(default_factory=time.monotonic)
    lines: int = 0  # of its log, that were read
    state: StateType | None = None
    since: float = field(default_factory=time.monotonic)  # when that state was first seen
    beat: UUID | None = None  # the newest heartbeat
    beat_at: float = 0.0  # when it was first seen
    looked: float = 0.0
    worker_at: float = field(default_factory=time.monotonic)  # when its pool was last seen with a worker
    is_told: bool = False  # that its pool has none

    def read_log(self, client: SyncPrefectClient, most: int) -> list[Log]:
        """The next lines of its log."""
        mine = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[self.run]), level=LogFilterLevel(ge_=20))
        found = client.read_logs(mine, limit=most, offset=self.lines, sort=LogSort.TIMESTAMP_ASC)
        self.lines += len(found)
        return found


def mark_lost(client: SyncPrefectClient, one: Sent, run: FlowRun) -> None:
    """Mark a run as crashed whose machine is gone.

    Raises PipelineError where it waits and its pool stays without workers.
    """
    now, state = time.monotonic(), run.state.type if run.state else None
    if state is not one.state:
        one.state, one.since = state, now
    why = ""
    if state in (StateType.RUNNING, StateType.CANCELLING):
        why = _gone(client, one, run)
    elif state is StateType.PENDING and now - one.since > PENDING:
        why = f"a worker took it and did not start it within {PENDING / 60:.0f} min"
    elif state is StateType.SCHEDULED and now - one.looked > BETWEEN:
        one.looked = now
        _require_worker(client, one)
    if why:
        client.set_flow_run_state(one.run, Crashed(message=why), force=True)


def unfinished(client: SyncPrefectClient, tag: str) -> UUID | None:
    """The run with a tag that waits or is under way; None where there is none."""
    under_way = FlowRunFilterStateType(any_=[StateType.SCHEDULED, StateType.PENDING, StateType.RUNNING])
    found = client.read_flow_runs(
        flow_run_filter=FlowRunFilter(
            tags=FlowRunFilterTags(all_=[tag]), state=FlowRunFilterState(type=under_way)
        ),
        limit=1,
    )
    return found[0].id if found else None


def _gone(client: SyncPrefectClient, one: Sent, run: FlowRun) -> str:
    """Why a run that is said to be running is not: its process has ended here, or falls silent elsewhere."""
    if crashed.PID in run.labels and crashed.is_gone(run.labels):
        return f"process {run.labels[crashed.PID]} on {run.labels[HOST]} is gone"
    now = time.monotonic()
    if now - one.looked > BETWEEN:
        one.looked = now
        beats = EventFilter(
            event=EventNameFilter(name=[BEAT]),
            resource=EventResourceFilter(id=[f"prefect.flow-run.{one.run}"]),
        )
        page = client.read_events(beats, limit=1)
        if page.events and page.events[0].id != one.beat:
            one.beat, one.beat_at = page.events[0].id, now
    silent = now - one.beat_at if one.beat else 0.0  # without any, whoever runs it sends none
    host = run.labels.get(HOST, "its machine")
    return f"no heartbeat of {host} for {silent:.0f} s" if silent > SILENCE else ""


def _require_worker(client: SyncPrefectClient, one: Sent) -> None:
    now, title = time.monotonic(), title_of(one.job.stage)
    if has_worker(client, client.read_work_pool(one.pool)):
        one.worker_at, one.is_told = now, False
        return
    if now - one.worker_at > NO_WORKER:
        client.set_flow_run_state(one.run, Cancelled())
        raise PipelineError(
            f"{one.job.stage}: {one.pool} has had no worker for {NO_WORKER / 60:.0f} min",
            hint=f"prefect worker start --pool {one.pool}; then: genarm run",
        )
    if not one.is_told:
        one.is_told = True
        get_run_logger().warning("%s: %s has no worker at the moment", title, one.pool, **told(title))
