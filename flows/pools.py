"""Work pools: whether they are there with a worker, and the deployment through which each gets its stages."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import WorkPool
from prefect.exceptions import ObjectNotFound
from prefect.settings import get_current_settings
from prefect.utilities.callables import parameter_schema

from genarm.errors import PipelineError

from .work import work

SEEN = timedelta(seconds=60)  # a worker says every 30 s that it is there
PATIENCE = 35.0  # seconds in which a worker that is just starting, or that is slow, may still be seen
ENTRYPOINT = "genarm.flows.work.work"
HEARTBEAT = {"env": {"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30"}}  # which tells a lost machine from a busy one


def require_pools(names: Sequence[str]) -> None:
    """Raise PipelineError where a pool does not exist, is paused, or has no worker, within a minute."""
    if get_current_settings().api.url is None:
        raise PipelineError(
            f"pools: {', '.join(names)} would have to be known to a Prefect server that the workers share, "
            "and none is named",
            hint="prefect server start & export PREFECT_API_URL=http://HOST:4200/api, for the workers too",
        )
    deadline = time.monotonic() + PATIENCE
    with get_client(sync_client=True) as client:
        found = [_pool(client, name) for name in names]
        for pool in found:
            while not has_worker(client, pool):
                if time.monotonic() > deadline:
                    raise PipelineError(
                        f"pools: no worker of {pool.name} was seen in the last minute; {_last(client, pool)}",
                        hint=f"where work is to be done: prefect worker start --pool {pool.name} --limit 1",
                    )
                time.sleep(1)


def has_worker(client: SyncPrefectClient, pool: WorkPool) -> bool:
    """Whether a worker of a pool was seen in the last minute, or the pool needs none."""
    if pool.is_push_pool or pool.is_managed_pool:
        return True
    seen = _seen(client, pool)
    return seen is not None and datetime.now(UTC) - seen < SEEN


def deployment_of(client: SyncPrefectClient, pool: str) -> UUID:
    """The deployment of the flow `work` for a pool, made if there is none; else it stays as it is."""
    try:
        return client.read_deployment_by_name(f"{work.name}/{pool}").id
    except ObjectNotFound:
        return client.create_deployment(
            client.create_flow(work),
            name=pool,
            description="one stage of a project, for a run that waits for it",
            entrypoint=ENTRYPOINT,
            work_pool_name=pool,
            job_variables=HEARTBEAT,
            parameter_openapi_schema=parameter_schema(work).model_dump_for_openapi(),
            enforce_parameter_schema=False,
        )


def _pool(client: SyncPrefectClient, name: str) -> WorkPool:
    try:
        pool = client.read_work_pool(name)
    except ObjectNotFound:
        known = sorted(p.name for p in client.read_work_pools())
        raise PipelineError(
            f"pools: the Prefect server has no work pool {name}; it has {', '.join(known) or 'none'}",
            hint=f"prefect work-pool create {name} --type process (or docker, or kubernetes)",
        ) from None
    if pool.is_paused:
        raise PipelineError(f"pools: the work pool {name} is paused", hint=f"prefect work-pool resume {name}")
    return pool


def _seen(client: SyncPrefectClient, pool: WorkPool) -> datetime | None:
    workers = client.read_workers_for_work_pool(pool.name)
    return max((w.last_heartbeat_time for w in workers if w.last_heartbeat_time), default=None)


def _last(client: SyncPrefectClient, pool: WorkPool) -> str:
    seen = _seen(client, pool)
    return f"the last one at {seen:%Y-%m-%d %H:%M:%S} UTC" if seen else "it never had one"
