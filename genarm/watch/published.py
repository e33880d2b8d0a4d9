"""Whether results are where `publish` in params.yaml sends them, as far as this clone knows."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from genarm.config import PublishConfig
from genarm.pipeline.publish.commit import is_merged
from genarm.pipeline.publish.git import Git
from genarm.pipeline.publish.record import last
from genarm.pipeline.publish.remote import ahead_and_behind, target
from genarm.pipeline.publish.results import differing, digest, result_files


@dataclass(frozen=True, slots=True)
class Published:
    """What was asked for, what the last publishing left, and results that no commit or remote has.

    The DVC remote is not asked: what the last push there did is among the lines.
    """

    asked_for: bool
    done: Sequence[str] = ()
    left: Sequence[str] = ()
    not_committed: Sequence[str] = ()
    not_pushed: int = 0  # commits

    @property
    def open(self) -> bool:
        """Whether something is left to publish."""
        return self.asked_for and bool(self.left or self.not_committed or self.not_pushed)


def look(root: Path, config: PublishConfig) -> Published:
    """Compare the results with git. Raises PipelineError where git is not installed."""
    if not config.is_asked_for:
        return Published(False)
    noted = last(root)
    changed, ahead = _in_git(Git(root), config) if config.git != "none" else ([], 0)
    return Published(True, noted.done, noted.left, changed, ahead)


def _in_git(git: Git, config: PublishConfig) -> tuple[list[str], int]:
    if not git.ask("rev-parse", "-q", "--verify", "HEAD"):
        return [], 0
    files = result_files(git)
    if config.git == "branch":
        name = f"refs/heads/{config.prefix}/results-{digest(git, files)}"
        there = is_merged(git, files) or git.holds("rev-parse", "-q", "--verify", name)
        return [] if there else differing(git, "HEAD", files), 0
    where = target(git, git.ask("symbolic-ref", "-q", "--short", "HEAD")) if config.push else None
    return differing(git, "HEAD", files), ahead_and_behind(git, where)[0] if where else 0
