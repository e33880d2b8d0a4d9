"""Whether what is trained now can be traced: to a commit that holds its code, parameters and data version."""

from genarm.data.dvc import POINTER
from genarm.errors import ConfigError
from genarm.pipeline.check_result import CheckResult, fail, ok, warn
from genarm.pipeline.lineage import changed_files, git, git_commit
from genarm.pipeline.plan import several
from genarm.pipeline.preflight.stages import FILE, dependencies, read_stages
from genarm.pipeline.project import Project
from genarm.pipeline.stage_names import JUDGE
from genarm.system.counted import counted

COMMIT = "git add -A && git commit -m 'what is trained next'"


def origin(project: Project) -> list[CheckResult]:
    """Check that there is a commit, and that the files that the versions depend on are those of the commit.

    What differs is counted by the one rule of `genarm.pipeline.lineage`.
    """
    try:
        if not git(project.root, "rev-parse", "--is-inside-work-tree"):
            detail = "there is no git repository here, and DVC refuses to work without one"
            return [fail("git", detail, "git init && git add -A && git commit -m start")]
        commit = (git_commit(project.root) or "")[:12]
        if not commit:
            return [
                warn("git", "there is no commit yet: what is trained now cannot be traced to one", COMMIT)
            ]
        changed, absent = changed_files(project.root), _in_no_commit(project)
    except FileNotFoundError:
        return [fail("git", "git is not installed, and every version is traced to a commit", "install git")]
    told = []
    if changed:
        differ = "differs" if len(changed) == 1 else "differ"
        told.append(f"{counted(len(changed), 'file')} {differ} from it ({several(changed)})")
    if absent:
        told.append(f"it does not hold {several(absent)}")
    if told:
        detail = f"commit {commit}: {', and '.join(told)}: what is trained now cannot be traced to a commit"
        return [warn("git", detail, COMMIT)]
    return [ok("git", f"commit {commit}, nothing differs from it")]


def _in_no_commit(project: Project) -> list[str]:
    """The files of the pipeline that git does not know, though it should: the data pointer above all."""
    try:
        listed = dependencies(read_stages(project).get(JUDGE, {}))
    except ConfigError:
        listed = []  # reported by the check of dvc.yaml
    own = [path for path in listed if not path.startswith("artifacts")]
    files = [path for path in (POINTER, "params.yaml", FILE, *own) if (project.root / path).is_file()]
    folders = [path for path in own if (project.root / path).is_dir()]
    told = git(project.root, "ls-files", "--others", "--", *files) if files else ""
    # In a folder lies what nobody commits, such as bytecode.
    more = git(project.root, "ls-files", "--others", "--exclude-standard", "--", *folders) if folders else ""
    return [*told.splitlines(), *more.splitlines()]
