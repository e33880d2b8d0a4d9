"""What would keep stages from running on other machines, as far as it is known without asking a server."""

from genarm.data.dvc_lock import POINTER
from genarm.data.dvc_remote import default_remote
from genarm.errors import PipelineError
from genarm.pipeline.check_result import CheckResult, fail
from genarm.pipeline.elsewhere.job import repository
from genarm.pipeline.lineage import changed_files
from genarm.pipeline.plan import several
from genarm.pipeline.project import Project
from genarm.pipeline.publish.git import Git
from genarm.pipeline.publish.remote import target
from genarm.system.counted import counted

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
    return found
