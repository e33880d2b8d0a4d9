"""Stages on other machines, as the run that waits for them sees it: sent to their pools, followed, taken in.

All that are sent together run at once. What was begun is not begun twice: a run that follows one that was
killed waits for what that one had submitted. A machine that is lost is replaced by another worker of the
pool.
"""

import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any, cast

from httpx import HTTPError
from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.deployments import run_deployment
from prefect.exceptions import PrefectException
from prefect.states import Cancelled, Cancelling

from genarm.data import dvc, dvc_elsewhere
from genarm.data.dvc_output import StageOutcome
from genarm.errors import GenarmError, PipelineError, Unreachable
from genarm.pipeline.elsewhere.job import Job, job_of
from genarm.pipeline.project import Project
from genarm.pipeline.stage_summary import summary, title_of

from .pools import deployment_of, require_pools
from .run_console import told
from .signs_of_life import Sent, mark_lost, unfinished
from .tasks import ASKS_A_SERVER, seconds, stage_title

POLL = 2.0  # seconds between two questions about a run
ATTEMPTS = 3  # machines that may be lost with one stage
SERVER_AWAY = 300.0  # seconds without an answer of the Prefect server
LINES = 200  # of a log, in one answer
STEP = re.compile(r"\d+ of \d+ ")  # how far a stage is, as a worker's log has it


def run_on_pools(project: Project, pools: Mapping[str, str]) -> dict[str, StageOutcome]:
    """Run stages, each on the pool that it is mapped to, all at once; what was done for each.

    What is up to date or in this machine's cache is sent nowhere. Raises the error of the first stage that
    failed, once the others have ended and are taken in.
    """
    outcomes = {name: done for name in pools if (done := restored(project, name)) is not None}
    waiting = [name for name in pools if name not in outcomes]
    if not waiting:
        return outcomes
    before = dvc.graph(project.root)
    send(project, sorted({need for name in waiting for need in before[name]}))
    jobs = [job_of(project, name, before[name]) for name in waiting]
    errors: list[GenarmError] = []
    with get_client(sync_client=True) as client:
        open_: list[Sent] = []
        with cancelled_with_us(client, open_):
            for job in jobs:
                open_.append(submit(client, job, pools[job.stage]))
            for one, state in ended(client, open_):
                try:
                    outcomes[one.job.stage] = conclude(project, one, state)
                except GenarmError as error:
                    title = title_of(one.job.stage)
                    get_run_logger().error("%s: %s", title, error.message, **told(title))
                    errors.append(error)
    if errors:
        raise errors[0]
    return outcomes


@task(cache_policy=NO_CACHE, task_run_name="look for pools and workers")
def pools_ready(project: Project) -> None:
    """Refuse a run whose pools are not there or have no worker, before anything else is done."""
    require_pools(project.params.pools.named)


@task(cache_policy=NO_CACHE, task_run_name="look into this machine's cache")
def restored(project: Project, name: str) -> StageOutcome | None:
    """What this machine knows of a stage already; None where it has to be computed."""
    outcome = dvc_elsewhere.restore(project.root, name, on_line=get_run_logger().info)
    if outcome:
        title = title_of(name)
        done = "unchanged" if outcome == "unchanged" else "as computed before"
        get_run_logger().info("%s: %s", title, done, **told(title))
    return outcome


@task(task_run_name="send what workers read", **ASKS_A_SERVER)
def send(project: Project, stages: list[str]) -> None:
    """Send what stages made to the DVC remote, where workers take it from."""
    dvc_elsewhere.send(project.root, stages, on_line=get_run_logger().info)


@task(task_run_name=cast(Any, stage_title), **ASKS_A_SERVER)
def take_in(project: Project, name: str, needs: list[str]) -> None:
    """Take what a worker made of a stage from the DVC remote, by the run cache."""
    log = get_run_logger()
    if dvc_elsewhere.restore(project.root, name, on_line=log.info, from_remote=needs) is None:
        raise PipelineError(
            f"stage {name}: what its worker sent was made of other inputs, code or parameters than these",
            hint="see what differs: dvc status; nothing may be edited while a run is in progress",
        )


def submit(client: SyncPrefectClient, job: Job, pool: str, attempt: int = 1) -> Sent:
    """Submit a stage to its pool, unless a run that was killed has done so and its worker is at it."""
    title, log, tag = title_of(job.stage), get_run_logger(), f"genarm:{job.digest}"
    found = unfinished(client, tag) if attempt == 1 else None
    if found:
        log.info("%s: goes on on %s, where an earlier run had sent it", title, pool, **told(title))
        return Sent(job, pool, found)
    run = run_deployment(
        deployment_of(client, pool),
        parameters=asdict(job),
        flow_run_name=title,
        tags=[tag],
        timeout=0,
    )
    log.info("%s: sent to %s", title, pool, **told(title))
    return Sent(job, pool, run.id, attempt)  # type: ignore[union-attr]


def ended(client: SyncPrefectClient, open_: list[Sent]) -> Iterator[tuple[Sent, "State"]]:
    """Each run with its final state as it ends, taken out of `open_`; what is lost is submitted again."""
    answered = time.monotonic()
    while open_:
        for one in list(open_):
            try:
                run = client.read_flow_run(one.run)
                pass_on(client, one)
                mark_lost(client, one, run)
                answered = time.monotonic()
            except (HTTPError, PrefectException) as error:
                if time.monotonic() - answered > SERVER_AWAY:
                    raise Unreachable(
                        f"the Prefect server did not answer for {SERVER_AWAY:.0f} s: {type(error).__name__}",
                        hint="the stages go on; once it is back: genarm run",
                    ) from error
                continue
            if run.state is None or not run.state.is_final():
                continue
            pass_on(client, one)
            open_.remove(one)
            if run.state.is_crashed() and one.attempt < ATTEMPTS:
                title = title_of(one.job.stage)
                why = run.state.message or "its worker is gone"
                get_run_logger().warning("%s: lost, and sent again: %s", title, why, **told(title))
                open_.append(submit(client, one.job, one.pool, one.attempt + 1))
            else:
                yield one, run.state
        if open_:
            time.sleep(POLL)


def pass_on(client: SyncPrefectClient, one: Sent) -> None:
    """Bring what a worker has logged since into this run's log; warnings and progress are told."""
    title, log = title_of(one.job.stage), get_run_logger()
    while lines := one.read_log(client, LINES):
        for line in lines:
            shown = line.level >= 30 or STEP.match(line.message)
            level = min(line.level, 30)  # an error is the state's, and is told once
            log.log(level, "%s: %s", title, line.message, **(told(title) if shown else {}))
        if len(lines) < LINES:
            return


def conclude(project: Project, one: Sent, state: "State") -> StageOutcome:
    """Take in what a run made that ended well; else raise its error."""
    stage, title = one.job.stage, title_of(one.job.stage)
    if state.type is not StateType.COMPLETED:
        message, _, hint = (state.message or f"ended as {state.name}").partition("; hint: ")
        if state.is_crashed():
            hint = f"{ATTEMPTS} machines were lost with it; see their logs, then: genarm run"
        raise PipelineError(f"{stage} on {one.pool}: {message}", hint=hint)
    take_in(project, stage, one.job.needs)
    outcome: StageOutcome = "ran" if state.message == "ran" else "restored"
    how = seconds(one.began) if outcome == "ran" else "as computed before"
    done = ", ".join(filter(None, (summary(project, stage), f"{how} on {one.pool}")))
    get_run_logger().info("%s: %s", title, done, **told(title))
    return outcome


@contextmanager
def cancelled_with_us(client: SyncPrefectClient, open_: list[Sent]) -> Iterator[None]:
    """Cancel what is under way if this run ends: by an interrupt, a cancellation or an error."""
    try:
        yield
    except BaseException:
        for one in open_:
            try:
                run: FlowRun = client.read_flow_run(one.run)
                waits = run.state is not None and run.state.type is StateType.SCHEDULED
                client.set_flow_run_state(one.run, Cancelled() if waits else Cancelling())
            except (HTTPError, PrefectException):
                get_run_logger().warning("%s on %s could not be cancelled", one.job.stage, one.pool, **told())
        raise
