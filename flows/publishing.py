"""Publishing as tasks: what asks a remote is tried again where the error may pass by itself.

A remote that refuses ends its task, not the run: the decision stands, and the log says what to do.
"""

from collections.abc import Sequence

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE

from genarm.pipeline.project import Project
from genarm.pipeline.publish import steps
from genarm.pipeline.publish.commit import Committed
from genarm.pipeline.publish.steps import Publication, Steps
from genarm.types import Decision
from genarm.watch.events import not_published

from .events import tell
from .run_console import told
from .tasks import ASKS_A_SERVER, server_ids

NOT_PUBLISHED = "; not published"  # after the outcome, in the name of a run


@task(task_run_name="push to the DVC remote", **ASKS_A_SERVER)
def push_data(publication: Publication) -> str:
    """Send data, outputs and run cache to the DVC remote; what was done."""
    return publication.push_data(on_line=get_run_logger().info)


@task(cache_policy=NO_CACHE, task_run_name="commit results")
def commit(publication: Publication) -> Committed | None:
    """Commit the results with a message that tells the decisions."""
    return publication.commit()


@task(task_run_name="push to the git remote", **ASKS_A_SERVER)
def push(publication: Publication, committed: Committed) -> list[str]:
    """Push the branch of the commit; what was done."""
    return publication.push(committed)


def publish(project: Project, decisions: Sequence[Decision]) -> str:
    """Do what the section `publish` asks for; returns what to add to the outcome where something was left."""
    config, log = project.params.publish, get_run_logger()
    if not config.is_asked_for:
        return ""
    publication = Publication(project, config, decisions, server_ids().get("flow run", ""))
    made = steps.publish(publication, Steps(push_data, commit, push))
    for line in made.done:
        log.info("%s", line, **told("publish"))
    for line in (*made.notes, *map(str, made.left)):
        log.warning("%s", line, **told("publish"))
    if made.left:
        tell(not_published(project.root, [str(error) for error in made.left]))
    return NOT_PUBLISHED if made.left else ""
