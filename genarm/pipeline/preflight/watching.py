"""Whether a run can leave its metrics, and whether there are prompts for the nights of its champions."""

from importlib.util import find_spec

from genarm.data.prompts import read_prompts
from genarm.pipeline.check_result import CheckResult, fail, warn
from genarm.pipeline.project import Project

NAME = "watch"


def watching(project: Project) -> list[CheckResult]:
    """Check what `watch` asks for; nothing where it asks for nothing.

    How many evaluation prompts there are is known only once they were gathered: `genarm watch` tells.
    """
    config, found = project.params.watch, list[CheckResult]()
    if config.metrics and find_spec("prometheus_client") is None:
        detail = f"watch.metrics = {config.metrics} needs prometheus_client, which is not installed"
        found.append(warn(NAME, detail, "python -m pip install 'genarm[serve]'"))
    if config.file and config.prompts:
        prompts = {prompt.id for prompt in read_prompts(project.root / config.file, config.file)}
        if len(prompts) < (wanted := config.prompts * config.nights):
            detail = f"watch.prompts x watch.nights = {wanted}, and {config.file} has {len(prompts)} prompts"
            found.append(fail(NAME, detail, "lower one of them, or name a larger watch.file"))
    return found
