"""What would keep results from being published, as far as it can be known without asking a server."""

from collections.abc import Iterator
from pathlib import Path

from genarm.config import PublishConfig
from genarm.data.dvc_remote import default_remote
from genarm.pipeline.check_result import CheckResult, fail, warn
from genarm.pipeline.publish.git import Git
from genarm.pipeline.publish.remote import ahead_and_behind, target
from genarm.pipeline.publish.results import result_files
from genarm.system.counted import counted

NAME = "publish"
# Files of git that are there while it waits for a person, and how that ends.
UNDER_WAY = {
    "MERGE_HEAD": ("a merge", "git merge --continue, or --abort"),
    "CHERRY_PICK_HEAD": ("a cherry-pick", "git cherry-pick --continue, or --abort"),
    "REVERT_HEAD": ("a revert", "git revert --continue, or --abort"),
    "rebase-merge": ("a rebase", "git rebase --continue, or --abort"),
    "rebase-apply": ("a rebase", "git rebase --continue, or --abort"),
}


def ready(root: Path, config: PublishConfig) -> list[CheckResult]:
    """Failures and warnings, each with its way out; empty where nothing is in the way."""
    found: list[CheckResult] = []
    if config.dvc == "push" and default_remote(root) is None:
        detail = "publish.dvc is push, and the project names no default DVC remote"
        found.append(fail(NAME, detail, "dvc remote add -d NAME URL && git add .dvc/config"))
    if config.git != "none":
        found += _git(Git(root), config)
    return found


def _git(git: Git, config: PublishConfig) -> Iterator[CheckResult]:
    wanted = f"publish.git is {config.git}"
    if not git.holds("rev-parse", "-q", "--verify", "HEAD^{commit}"):
        detail = f"{wanted}, and there is no commit yet that results could follow"
        yield fail(NAME, detail, "git init && git add -A && git commit -m start")
        return
    if not all(git.holds("var", f"GIT_{who}_IDENT") for who in ("AUTHOR", "COMMITTER")):
        detail = f"{wanted}, and git does not know who commits"
        yield fail(NAME, detail, "git config user.name NAME && git config user.email ADDRESS")
    ignored = git.ask("check-ignore", "--", *result_files(git)).splitlines()
    if ignored:
        detail = f"{wanted}, and .gitignore leaves out {', '.join(ignored)}"
        yield fail(
            NAME, detail, f"take it out of .gitignore; git check-ignore -v {ignored[0]} shows the line"
        )
    branch = git.ask("symbolic-ref", "-q", "--short", "HEAD")
    if config.git == "commit":
        yield from _free_to_commit(git, branch)
    if config.push:
        yield from _remote(git, config, branch)


def _free_to_commit(git: Git, branch: str) -> Iterator[CheckResult]:
    for name, (what, way_out) in UNDER_WAY.items():
        if (git.root / git.ask("rev-parse", "--git-path", name)).exists():
            yield fail(NAME, f"publish.git is commit, and {what} is under way here", way_out)
            return
    if not branch:
        head = git.ask("rev-parse", "--short=12", "HEAD")
        detail = f"publish.git is commit, and no branch is checked out (HEAD is at {head})"
        yield fail(NAME, detail, "git switch BRANCH; or set publish.git to branch, which needs none")


def _remote(git: Git, config: PublishConfig, branch: str) -> Iterator[CheckResult]:
    where = target(git, branch or "HEAD")
    if where is None:
        remotes = git.ask("remote").split()
        detail = "publish.push is true, and git has " + (
            f"the remotes {', '.join(remotes)}, of which none is meant" if remotes else "no remote"
        )
        way_out = f"git config remote.pushDefault {remotes[0]}" if remotes else "git remote add origin URL"
        yield fail(NAME, detail, way_out)
    elif config.git == "commit":
        _, behind = ahead_and_behind(git, where)
        if behind:
            detail = f"{where} has {counted(behind, 'commit')} that {branch} lacks: a push would be refused"
            yield warn(NAME, detail, "git pull --rebase --autostash")
