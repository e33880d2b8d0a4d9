"""The name of a flow run: its outcome, so that it can be read in the list of runs on Prefect's pages."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar, cast
from uuid import UUID

from httpx import HTTPError
from prefect import get_run_logger
from prefect.client.orchestration import get_client
from prefect.exceptions import PrefectException
from prefect.runtime import flow_run
from prefect.states import Completed

from genarm.errors import Busy, GenarmError

T = TypeVar("T")


def name_run(name: str) -> None:
    """Give the run that this code is part of a name. The run does not fail because Prefect takes none."""
    run_id = flow_run.get_id()
    if run_id is None:  # called without Prefect
        return
    try:
        with get_client(sync_client=True) as client:
            client.update_flow_run(UUID(run_id), name=name)
    except (PrefectException, HTTPError) as error:
        get_run_logger().info("the run keeps its name: %s", type(error).__name__)


@contextmanager
def failure_in_name(flow: str) -> Iterator[None]:
    """Name a run that fails after its error, in a few words."""
    try:
        yield
    except Busy:
        name_run(f"{flow}: another run was in progress")
        raise
    except GenarmError as error:
        what = error.message.partition(": ")[0]
        name_run(f"{flow}: {what if what.endswith(' failed') else 'failed'}")  # `stage train@plain failed`
        raise


def concluded(result: T, outcome: str) -> T:
    """What a flow is to return: Prefect hands on the result, and keeps the outcome as the state's message."""
    return cast(T, Completed(data=result, message=outcome))
