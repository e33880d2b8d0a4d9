"""What can be known before anything is trained: asked by `genarm plan`, `genarm doctor` and every run.

The quick checks come first, so that a run that must fail does so in its first second. Only a reward model
makes them import torch.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from genarm.errors import ConfigError, GenarmError
from genarm.pipeline.check_result import CheckResult, fail, in_one
from genarm.pipeline.preflight.further_prompts import further_prompts
from genarm.pipeline.preflight.judge_checks import judge_checks
from genarm.pipeline.preflight.judges import judges
from genarm.pipeline.preflight.models import models
from genarm.pipeline.preflight.origin import origin
from genarm.pipeline.preflight.place import store_place
from genarm.pipeline.preflight.pools import pools
from genarm.pipeline.preflight.publishing import publishing
from genarm.pipeline.preflight.room import disk_need, memory_need
from genarm.pipeline.preflight.servers import servers
from genarm.pipeline.preflight.sources import sources
from genarm.pipeline.preflight.stages import stages
from genarm.pipeline.preflight.trained import trained_judges
from genarm.pipeline.preflight.watching import watching
from genarm.pipeline.project import Project

__all__ = ["CHECKS", "check", "require", "require_ahead", "require_once"]

Check = Callable[[Project], list[CheckResult]]
# `genarm.doctor` has examinations of its own for the base model and for git that say more.
CHECKS: Sequence[Check] = (
    *(store_place, stages, sources, further_prompts, trained_judges, judges, judge_checks),
    *(models, origin, publishing, pools, servers, watching, disk_need, memory_need),
)
_ahead: dict[Path, list[CheckResult]] = {}  # what a command of this process found, for the run that it starts


def check(project: Project) -> list[CheckResult]:
    """All results, in a fixed order. With parameters that cannot be read there is nothing else to check."""
    try:
        _ = project.params
    except ConfigError as error:
        return [fail("params.yaml", error.message, error.hint)]
    return [result for asked in CHECKS for result in examined(asked, project)]


def examined(asked: Check, project: Project) -> list[CheckResult]:
    """What one check finds; an error that it raises is what it found."""
    try:
        return asked(project)
    except GenarmError as error:
        name = asked.__name__.replace("_", " ")
        return [fail(name, error.message, error.hint or "genarm doctor --debug")]


def require(project: Project) -> list[CheckResult]:
    """The warnings of `check`. Raises PipelineError with everything that failed, in one line."""
    results = check(project)
    if failed := [r for r in results if r.status == "fail"]:
        raise in_one(failed)
    return [r for r in results if r.status == "warn"]


def require_ahead(project: Project) -> None:
    """Check before a run that this process is about to start, which then need not check again."""
    _ahead[project.root.resolve()] = require(project)


def require_once(project: Project, *, anew: bool = False) -> list[CheckResult]:
    """What `require` gives, for a run: from the command that started it, if that was in this process.

    A scheduled run has none, and `anew` says that something changed since. What was found serves one run.
    """
    found = _ahead.pop(project.root.resolve(), None)
    return require(project) if found is None or anew else found
