"""The flow that a worker runs: one stage of a commit, in a clone of it.

`elsewhere` submits it. What the stage reads comes from the DVC remote, and what it makes goes there with the
run cache, from where the run that waits for it takes both.
"""

import os
from typing import Any

from httpx import HTTPError
from prefect import flow, get_run_logger, task
from prefect.exceptions import PrefectException
from prefect.states import Completed, Failed

from genarm.data import dvc_elsewhere
from genarm.data.dvc_output import StageOutcome
from genarm.errors import GenarmError, PipelineError
from genarm.pipeline.elsewhere import versions as comparing
from genarm.pipeline.elsewhere.clone import clone_of, work_folder
from genarm.pipeline.elsewhere.job import Job
from genarm.pipeline.project import Project
from genarm.system import env
from genarm.system.owner import Owner

from . import crashed, tasks
from .plain_errors import log_plainly
from .tasks import ASKS_A_SERVER


@flow(name="work")
def work(
    stage: str,
    needs: list[str],
    repository: str,
    folder: str,
    commit: str,
    files: dict[str, str],
    versions: dict[str, str],
) -> Any:
    """Run one stage and send what it made to the DVC remote; the parameters are those of a `Job`.

    Ends as Failed with the error and its way out, or as Completed with what was done: ran, restored or
    unchanged.
    """
    log_plainly()
    label()
    job = Job(stage, needs, repository, folder, commit, files, versions)
    try:
        require_same_versions(job)
        with clone_of(job) as root:
            outcome = run(Project(root), job)
    except GenarmError as error:
        get_run_logger().error("%s", error)
        return Failed(message=str(error))
    return Completed(message=outcome)


def run(project: Project, job: Job) -> StageOutcome:
    """Take what the stage reads, run it unless it was computed before, wherever that was, and send it."""
    get_run_logger().info("commit %s in %s on %s", job.commit[:12], project.root, Owner.here().host)
    env.prepare(project.root)
    if (project.root / "genarm" / "__init__.py").is_file():
        # The commit holds the code of the stage, which is recorded with what it makes.
        path = os.environ.get("PYTHONPATH", "")
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(project.root), path)))
    take(project, job.needs)
    outcome = restore(project, job)
    if outcome is None:
        outcome = tasks.stage(project, job.stage)
    send(project, job.stage)
    return outcome


def label() -> None:
    """Label the run with its process, so that a run that waits on the same machine sees when it is gone."""
    try:
        crashed.label_run(work_folder())
    except (PrefectException, HTTPError) as error:
        get_run_logger().warning("the run has no label: %s", type(error).__name__)


def require_same_versions(job: Job) -> None:
    """Raise PipelineError where this worker has other versions than the run that waits, and name them."""
    found = comparing.differences(job.versions, comparing.installed(job.versions))
    if found:
        raise PipelineError(
            f"the worker on {Owner.here().host} has other versions than the run: {comparing.shown(found)}",
            hint="install the same on both, such as: python -m pip install -c constraints.txt -e .",
        )


@task(task_run_name="take what it reads", **ASKS_A_SERVER)
def take(project: Project, needs: list[str]) -> None:
    """Fetch the files of the stages before from the DVC remote."""
    dvc_elsewhere.take(project.root, needs, on_line=get_run_logger().info)


@task(task_run_name="ask the run cache", **ASKS_A_SERVER)
def restore(project: Project, job: Job) -> StageOutcome | None:
    """Restore the stage where this machine or another one has computed it before."""
    return dvc_elsewhere.restore(
        project.root, job.stage, on_line=get_run_logger().info, from_remote=job.needs
    )


@task(task_run_name="send what it made", **ASKS_A_SERVER)
def send(project: Project, stage: str) -> None:
    """Send the stage's files and the run cache to the DVC remote."""
    dvc_elsewhere.send(project.root, [stage], on_line=get_run_logger().info)
