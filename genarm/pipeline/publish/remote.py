"""Where a branch is pushed to, as git's settings have it, and what of it is known to be there."""

from dataclasses import dataclass

from genarm.pipeline.publish.git import Git

TRACKING = "refs/remotes/"


@dataclass(frozen=True, slots=True)
class Target:
    """A branch at a remote, both by name; `origin/main`."""

    remote: str
    branch: str

    def __str__(self) -> str:
        return f"{self.remote}/{self.branch}"

    @property
    def tracking(self) -> str:
        """The reference that notes what was last seen there."""
        return f"{TRACKING}{self.remote}/{self.branch}"


def target(git: Git, branch: str) -> Target | None:
    """Where `git push` would bring a branch; without settings, to the same name at the one remote or origin.

    None where there is no remote, or several of which none is meant.
    """
    remotes = git.ask("remote").splitlines()
    pushed = git.ask("rev-parse", "--symbolic-full-name", f"{branch}@{{push}}").removeprefix(TRACKING)
    for remote in sorted(remotes, key=len, reverse=True):  # a name may hold slashes
        if pushed.startswith(f"{remote}/"):
            return Target(remote, pushed.removeprefix(f"{remote}/"))
    keys = (f"branch.{branch}.pushRemote", "remote.pushDefault", f"branch.{branch}.remote")
    named = [git.ask("config", key) for key in keys]
    meant = [*named, "origin", *(remotes if len(remotes) == 1 else [])]
    return next((Target(remote, branch) for remote in meant if remote in remotes), None)


def known_there(git: Git, where: Target) -> str:
    """The commit that was last seen at a target; empty where none was."""
    return git.ask("rev-parse", "-q", "--verify", where.tracking)


def ahead_and_behind(git: Git, where: Target) -> tuple[int, int]:
    """How many commits HEAD has that were not seen at a target, and the other way round; 0 if none was."""
    counts = git.ask("rev-list", "--left-right", "--count", f"HEAD...{where.tracking}").split()
    return (int(counts[0]), int(counts[1])) if len(counts) == 2 else (0, 0)
