"""Bring a commit to the git remote; where the remote refuses, say why and what to do."""

import re
from collections.abc import Sequence

from genarm.config import PublishConfig
from genarm.errors import GenarmError, PipelineError, Unreachable
from genarm.pipeline.publish.commit import Committed
from genarm.pipeline.publish.git import Git, quoted
from genarm.pipeline.publish.remote import Target, known_there, target
from genarm.system.counted import counted

# What git and servers print. The order matters: a server that answers with 403 is also "unable to access".
DIVERGED = re.compile(r"\[rejected\] \((?:fetch first|non-fast-forward|stale info)\)")
PROTECTED = re.compile(r"protected branch|branch is protected|GH006|GH013", re.IGNORECASE)
REFUSED = re.compile(r"\[remote rejected\]|pre-receive hook declined|hook declined")
NO_RIGHTS = re.compile(
    r"authentication failed|permission|could not read (?:user|pass)|terminal prompts disabled|denied"
    r"|error: 40[134]|unable to create temporary|not found|host key verification|not appear to be a git",
    re.IGNORECASE,
)
NO_ANSWER = re.compile(
    r"could not resolve|connection (?:refused|reset|timed out)|timed out|failed to connect|couldn't connect"
    r"|network is unreachable|error: 5\d\d|rpc failed|early eof|too slow|hung up",
    re.IGNORECASE,
)
ADDRESS = re.compile(r"^remote:\s+(https?://\S+)")


def push_commit(git: Git, config: PublishConfig, committed: Committed) -> list[str]:
    """Push the branch of a commit, without force; what was done, and the page where a review opens.

    Raises PipelineError where the remote refuses, with the way out; Unreachable where it does not answer. The
    commit stays.
    """
    where = target(git, committed.branch)
    if where is None:
        raise PipelineError(
            f"{committed.short} is committed on {committed.branch}, and git has no remote to push it to",
            hint="git remote add origin URL; then: genarm publish",
        )
    if config.git == "branch":
        where = Target(where.remote, committed.branch)
    before = known_there(git, where)
    if before and git.holds("merge-base", "--is-ancestor", committed.commit, before):
        return [f"{committed.short} is at {where} already"]
    commits = git.ask("rev-list", "--count", committed.commit, "--not", f"--remotes={where.remote}")
    code, lines = git.run(
        "push", "--porcelain", where.remote, f"refs/heads/{committed.branch}:refs/heads/{where.branch}"
    )
    if code:
        raise _refused(lines, committed, where)
    earlier = int(commits or 1) - 1
    more = f", with {counted(earlier, 'earlier commit')} that had not been pushed" if earlier > 0 else ""
    pages = [f"review: {found[1]}" for line in lines if (found := ADDRESS.match(line))]
    return [f"{committed.short} pushed to {where}{more}", *pages]


def _refused(lines: Sequence[str], committed: Committed, where: Target) -> GenarmError:
    text, said = "\n".join(lines), quoted([_reason(line) for line in lines])
    kept, again = f"{committed.short} is kept on {committed.branch} here", "then: genarm publish"
    if DIVERGED.search(text):
        return PipelineError(
            f"{where} has commits that {committed.branch} lacks, so the push was refused; {kept}",
            hint="git pull --rebase --autostash, and where dvc.lock conflicts take one side whole and "
            f"run again: genarm run; {again}",
        )
    if PROTECTED.search(text):
        return PipelineError(
            f"{where} is protected, so the push was refused: {said}; {kept}",
            hint="genarm publish --git branch; for every run: publish.git: branch in params.yaml",
        )
    if REFUSED.search(text):
        return PipelineError(
            f"{where} refused the push: {said}; {kept}",
            hint=f"mend what it names, {again}; or for a review: genarm publish --git branch",
        )
    if NO_RIGHTS.search(text):
        return PipelineError(
            f"this account may not push to {where}, or nothing is there: {said}; {kept}",
            hint=f"give git a login that may write, and try it by hand: git push {where.remote}; {again}",
        )
    if NO_ANSWER.search(text):
        return Unreachable(f"the git remote {where.remote} does not answer: {said}; {kept}", hint=again)
    return PipelineError(
        f"git push to {where} failed, perhaps by a hook of this clone: {said}; {kept}",
        hint=f"mend what it names; {again}",
    )


def _reason(line: str) -> str:
    """A line of git without what the error says already: the remote, and the names of the branches."""
    if line.startswith("error: failed to push some refs"):
        return ""
    return line.split("\t")[-1] if line.startswith("!") else line.removeprefix("remote: ").strip()
