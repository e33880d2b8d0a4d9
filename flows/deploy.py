"""Put `refresh`, which ends in `align`, on a schedule against a running Prefect server.

`python -m genarm.flows.deploy` serves it from this machine; for work pools, `prefect deploy --all` reads
`prefect.yaml`.
"""

import os
from typing import Annotated, Any

import typer

from genarm.errors import Unreachable
from genarm.system import env
from genarm.system.redact import redact

NIGHTLY = "0 2 * * *"
NEW_DATA = "genarm.data.changed"  # the event that starts a run


def serve(
    cron: Annotated[str, typer.Option(help="when; minute hour day month weekday")] = NIGHTLY,
    wait_hours: Annotated[float, typer.Option(help="how long a run waits where data is held")] = 12,
) -> None:
    """Wait here and run `refresh` on a schedule and on an event, one run at a time, whoever else serves it.

    Raises Unreachable where no Prefect server is named.
    """
    root = env.project_root()
    env.prepare(root)  # before Prefect is imported
    if not os.environ.get("PREFECT_API_URL"):
        # The temporary server that prefect would start runs no schedules, and says so only in its log.
        raise Unreachable(
            "no Prefect server is named, and schedules need one",
            hint="prefect server start & export PREFECT_API_URL=http://127.0.0.1:4200/api",
        )
    from httpx import HTTPError
    from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
    from prefect.events import DeploymentEventTrigger
    from prefect.exceptions import PrefectException
    from prefect.types.entrypoint import EntrypointType

    from .crashed import mark_crashed
    from .refresh import refresh

    try:
        for name in mark_crashed(root):  # it would hold the slot of the next run
            print(f"run {name} was killed: it is marked as crashed")
    except (HTTPError, PrefectException) as error:
        address = redact(os.environ["PREFECT_API_URL"])
        raise Unreachable(
            f"the Prefect server does not answer at {address}: {type(error).__name__}",
            hint="prefect server start",
        ) from None
    one_anywhere = ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.ENQUEUE)

    triggers: list[Any] = [DeploymentEventTrigger(expect={NEW_DATA})]
    refresh.serve(
        name="nightly",
        cron=cron,
        triggers=triggers,
        global_limit=one_anywhere,  # kept by the server, for whoever else serves or works for it
        parameters={"root": str(root), "wait_hours": wait_hours},
        pause_on_shutdown=False,
        # Each run is a process that imports the flow; by its file path it would not be part of genarm.flows.
        entrypoint_type=EntrypointType.MODULE_PATH,
    )


if __name__ == "__main__":
    typer.run(serve)
