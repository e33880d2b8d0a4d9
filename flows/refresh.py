"""The flow of every night: what is new at the sources comes in, then `align` makes a decision of it.

Data that is worse than the version before waits for a person, on the page of the run or at a shell.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from uuid import UUID

from httpx import HTTPError
from prefect import flow, get_run_logger, task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.exceptions import FlowPauseTimeout, PrefectException
from prefect.flow_runs import pause_flow_run, resume_flow_run
from prefect.input import RunInput
from prefect.runtime import flow_run
from prefect.states import Running

from genarm.intake import held
from genarm.intake.held import Held
from genarm.intake.take_in import News, take_in
from genarm.models import load_tokenizer
from genarm.pipeline.project import Project
from genarm.types import Decision
from genarm.watch.events import data_held

from . import secret_source, tasks, watching
from .align import align, alone, open_project
from .events import tell
from .metrics import AT_ITS_END
from .run_console import told
from .run_name import concluded, failure_in_name, name_run
from .tasks import ASKS_A_SERVER

POLL = 10  # seconds between two questions whether a person has answered


@dataclass(frozen=True, slots=True)
class Refreshed:
    """What came in or waits, and what `align` decided, if it ran."""

    news: News
    decisions: list[Decision]


class Answer(RunInput):
    """The form on the page of a run whose data waits."""

    take: bool = False
    reason: str = ""


@flow(flow_run_name="refresh", **AT_ITS_END)
def refresh(
    root: str | None = None, promote: bool = True, run: bool = True, wait_hours: float = 0
) -> Refreshed:
    """Ask every source whether it changed, bring in what did, say what came in, and start `align`.

    root: the project's folder. promote: carry decisions out, or only report them. run: start `align` at the
    end. wait_hours: how long to wait for a person where data is held; then `align` runs on the data in use.
    """
    project = open_project(root)
    with failure_in_name("refresh"):
        with alone(project):
            tasks.mend_data(project)
            news = bring_in(project, waits=wait_hours > 0)
        publish(news)
        name_run(f"refresh: {news.outcome}")
        if news.held:
            tell(data_held(project.root, news.held.reasons))
        if news.held and wait_hours > 0:
            news = ask_a_person(project, news, news.held, wait_hours)
            name_run(f"refresh: {news.outcome}")
        if run and project.params.watch.prompts:
            watching.watch_champions(project, carry_out=promote)
        decisions = align(root=str(project.root), promote=promote) if run else []
    return concluded(Refreshed(news, decisions), news.outcome)


@task(task_run_name="ask, fetch, compare", **ASKS_A_SERVER)
def bring_in(project: Project, *, waits: bool = False) -> News:
    """Make what changed the data version, or hold it; where anything fails, the data stays as it was."""
    return take_in(
        project.root,
        project.params,
        partial(load_tokenizer, project.base),
        secret_source.whole,
        flow_run=str(flow_run.get_id() or "") if waits else "",
    )


@task(cache_policy=NO_CACHE, task_run_name="publish what came in")
def publish(news: News) -> None:
    """Sources and changes in the log and as tables on the page of the flow run."""
    log = get_run_logger()
    for row in news.sources:
        log.info("%s: %s", row["source"], row["state"], **told("source"))
    for line in news.told:
        log.warning("%s", line, **told("data"))
    for change in news.changes:
        words = (f"{name} {value}" for name, value in change.row().items() if name != "dimension")
        log.info("%s", ", ".join(words), **told(f"data {change.dimension}"))
    if news.held:
        for reason in news.held.reasons:
            log.warning("held: %s", reason, **told("data"))
    if news.sources:
        create_table_artifact(list(news.sources), key="sources", description=news.outcome)
    if news.changes:
        rows = [change.row() for change in news.changes]
        create_table_artifact(rows, key="data-changes", description=news.outcome)


def ask_a_person(project: Project, news: News, waits: Held, hours: float) -> News:
    """Pause the run until a person answers on its page or at a shell, or the time is over."""
    log, table = get_run_logger(), "\n".join(f"- {reason}" for reason in waits.reasons)
    form = Answer.with_initial_data(
        description=f"New data is worse than the version before, and the data in use stays:\n\n{table}\n\n"
        "`take` brings it in all the same; otherwise it is dropped, and not fetched until it changes.",
        take=False,
        reason="",
    )
    log.warning("waits for a person, on this page or: genarm data approve", **told("data"))
    try:
        answer = pause_flow_run(wait_for_input=form, timeout=round(hours * 3600), poll_interval=POLL)
    except FlowPauseTimeout:
        _go_on()
        log.warning("nobody answered within %g h; the data in use stays", hours, **told("data"))
        return news
    with alone(project):
        if held.waiting(project.root) != waits:  # answered at a shell, which resumed this run
            log.info("answered already", **told("data"))
            return News(news.sources, changes=news.changes, told=news.told)
        if not answer.take:
            held.refuse(project.root, _who("on the page of its run", answer.reason))
            log.info("refused: %s", answer.reason or "no reason given", **told("data"))
            return News(news.sources, changes=news.changes, told=news.told)
        version, _ = held.take(project.root)
    log.info("approved: %s", answer.reason or "no reason given", **told("data"))
    return News(news.sources, version, news.changes, told=news.told)


def answer_held(project: Project, *, take: bool, who: str, reason: str) -> tuple[Held, str, str]:
    """Answer for data that waits, from a shell; a run that waits for it goes on.

    Returns what waited, the data version that it became, if any, and what keeps the run from going on.
    """
    with alone(project):
        if take:
            version, waited = held.take(project.root)
        else:
            version, waited = "", held.refuse(project.root, _who(f"by {who}", reason))
    return waited, version, _resume(waited.flow_run, take, reason) if waited.flow_run else ""


def _who(who: str, reason: str) -> str:
    when = datetime.now(UTC).isoformat(timespec="seconds")
    return f"{who}, {when}" + (f": {reason}" if reason else "")


def _go_on() -> None:
    """Set a run that was paused for too long running again: the server starts no task of a paused one."""
    with get_client(sync_client=True) as client:
        client.set_flow_run_state(UUID(str(flow_run.get_id())), Running(), force=True)


def _resume(run: str, take: bool, reason: str) -> str:
    try:
        resume_flow_run(UUID(run), run_input={"take": take, "reason": reason})
    except (PrefectException, HTTPError, RuntimeError) as error:
        return f"run {run} was not told; it ended, or its server is away: {type(error).__name__}"
    return ""
