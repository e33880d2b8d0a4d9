"""The clone in which a worker runs stages: kept for the next one, and used by one run at a time."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from shutil import rmtree

from filelock import FileLock, Timeout

from genarm.data.dvc_lock import LOCK
from genarm.errors import PipelineError, Unreachable
from genarm.models.cache import cache_folder
from genarm.pipeline.elsewhere.job import Job
from genarm.pipeline.publish.git import Git, quoted
from genarm.pipeline.publish.push import NO_ANSWER
from genarm.pipeline.publish.results import result_files
from genarm.system.files import write_text

WORK = "GENARM_WORK"


def work_folder() -> Path:
    """Where a worker keeps its clones: `$GENARM_WORK`, or `work` in the cache folder."""
    return Path(os.environ.get(WORK) or cache_folder() / "work").expanduser().resolve()


@contextmanager
def clone_of(job: Job) -> Iterator[Path]:
    """The project of a job in a clone of its commit, with the results that the job carries.

    The first clone that nobody uses is taken, so that a training that was killed here goes on from its last
    checkpoint. Raises PipelineError where the repository or the commit cannot be had, Unreachable where its
    server does not answer.
    """
    name = job.repository.rstrip("/").rpartition("/")[2].removesuffix(".git") or "project"
    place = work_folder() / f"{name}-{hashlib.sha256(job.repository.encode()).hexdigest()[:12]}"
    place.mkdir(parents=True, exist_ok=True)
    for number in count():
        try:
            lock = FileLock(place / f"{number}.lock", timeout=0).acquire()
            break
        except Timeout:  # in use by another run
            continue
    with lock:
        root = _check_out(place / str(number), job) / job.folder
        _lay_over(root, job)
        yield root


def _check_out(folder: Path, job: Job) -> Path:
    if not (folder / ".git").exists():
        new = folder.with_name(f"{folder.name}.new")  # a clone that a kill cut short is none
        rmtree(new, ignore_errors=True)
        _must(Git(folder.parent), job, "clone", "--quiet", "--no-checkout", job.repository, str(new))
        rmtree(folder, ignore_errors=True)  # whatever lies there is no clone
        new.rename(folder)
    git = Git(folder)
    (folder / ".git" / "index.lock").unlink(missing_ok=True)  # of a git that was killed: the clone is ours
    if not git.holds("cat-file", "-e", f"{job.commit}^{{commit}}"):
        _must(git, job, "fetch", "--quiet", "--prune", "origin")
    if not git.holds("cat-file", "-e", f"{job.commit}^{{commit}}"):
        raise PipelineError(
            f"{job.repository} has no commit {job.commit[:12]}, which the run works on",
            hint="push it where the run was started: git push; then: genarm run",
        )
    _must(git, job, "checkout", "--quiet", "--force", "--detach", job.commit)
    return folder


def _must(git: Git, job: Job, *words: str) -> None:
    code, lines = git.run(*words)
    if code:
        said = quoted(lines)
        error = Unreachable if NO_ANSWER.search(said) else PipelineError
        raise error(
            f"git {words[0]} of {job.repository} failed on this worker: {said}",
            hint="try it by hand on the worker's machine, as the worker's user",
        )


def _lay_over(root: Path, job: Job) -> None:
    """Write the results that the job carries, and remove those that the run does not have."""
    if not root.is_dir():
        raise PipelineError(
            f"commit {job.commit[:12]} has no folder {job.folder}, where the project is",
            hint="commit it where the run was started, and push; then: genarm run",
        )
    for name in {*result_files(Git(root)), LOCK} - set(job.files):
        (root / name).unlink(missing_ok=True)
    for name, content in job.files.items():
        write_text(root / name, content)
