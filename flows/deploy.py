"""Put `align` on a schedule against a running Prefect server.

`python -m genarm.flows.deploy` serves it from this machine; for work pools, `prefect deploy --all` reads
`prefect.yaml`.
"""

import os
from typing import Annotated

import typer

from genarm.errors import Unreachable
from genarm.system import env

NIGHTLY = "0 2 * * *"


def serve(cron: Annotated[str, typer.Option(help="when; minute hour day month weekday")] = NIGHTLY) -> None:
    """Wait here and run `align` on a schedule, one run at a time.

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
    from prefect.types.entrypoint import EntrypointType

    from .align import align

    align.serve(
        name="nightly",
        cron=cron,
        limit=1,
        parameters={"root": str(root)},
        pause_on_shutdown=False,
        # Each run is a process that imports the flow; by its file path it would not be part of genarm.flows.
        entrypoint_type=EntrypointType.MODULE_PATH,
    )


if __name__ == "__main__":
    typer.run(serve)
