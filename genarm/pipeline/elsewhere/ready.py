"""What would keep stages from running on other machines, as far as it is known without asking a server."""

import os

from genarm.data.dvc_lock import POINTER
from genarm.data.dvc_remote import default_remote
from genarm.errors import PipelineError
from genarm.pipeline.check_result import CheckResult, fail, warn
from genarm.pipeline.elsewhere.job import repository
from genarm.pipeline.lineage import changed_files
from genarm.pipeline.plan import several
from genarm.pipeline.project import Project
from genarm.pipeline.publish.git import Git
from genarm.pipeline.publish.remote import target
from genarm.system.counted import counted
from genarm.system.env import local_tracking_uri

NAME = "pools"


def ready(project: Project) -> list[CheckResult]:
    """Failures, each with its way out; empty where workers can have all that they need."""
    git, found = Git(project.root), list[CheckResult]()
    if default_remote(project.root) is None:
        detail = (
            "pools are named, and there is no default DVC remote through which workers take and give files"
        )
        found.append(
            fail(NAME, detail, "dvc remote add -d NAME URL && git add .dvc/config && git commit && git push")
        )
    head = git.ask("rev-parse", "-q", "--verify", "HEAD^{commit}")
    if not head:
        detail = "pools are named, and there is no commit yet that workers could clone"
        return [*found, fail(NAME, detail, "git init && git add -A && git commit -m start")]
    try:
        repository(git)
    except PipelineError as error:
        return [*found, fail(NAME, error.message, error.hint)]
    if changed := [file for file in changed_files(project.root) if file != POINTER]:
        differ = "differs" if len(changed) == 1 else "differ"
        told = f"{counted(len(changed), 'file')} {differ} from it ({several(changed)})"
        detail = f"commit {head[:12]} is what workers clone, and {told}"
        found.append(fail(NAME, detail, "git commit -a && git push, or git stash"))
    where = target(git, git.ask("symbolic-ref", "-q", "--short", "HEAD") or "HEAD")
    if where and not git.ask("for-each-ref", "--count=1", "--contains", head, f"refs/remotes/{where.remote}"):
        detail = f"commit {head[:12]} is not known to be at {where.remote}, where workers clone it from"
        found.append(fail(NAME, detail, f"git push {where.remote} HEAD"))
    return [*found, *_registry(project)]


def _registry(project: Project) -> list[CheckResult]:
    """Champions answer where they are in a registry that workers reach, which a file of this clone is not."""
    own, champions = local_tracking_uri(project.root), project.champions(missing_ok=True)
    there_are = [dimension for dimension, champion in champions.items() if champion]
    shared = os.environ.get("MLFLOW_TRACKING_URI", own) != own
    if shared or not project.params.pools.respond or not there_are:
        return []
    detail = (
        f"workers of {project.params.pools.respond} answer with the champion of {there_are[0]}, and the "
        "registry is a file of this clone"
    )
    return [warn(NAME, detail, "export MLFLOW_TRACKING_URI=http://HOST:5000, here and for the workers")]
