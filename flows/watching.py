"""Champions measured again as a task, in a process of its own: its memory is free before training starts."""

import os

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.settings import get_current_settings

from genarm.pipeline.project import Project
from genarm.system.process import run

from .run_console import following, told


@task(cache_policy=NO_CACHE, task_run_name="watch champions")
def watch_champions(project: Project, *, carry_out: bool) -> bool:
    """Measure each champion against the base and say how it did; whether that could be done.

    What is in the way is told and ends nothing: the data is there, and `align` is to run.
    """
    log, settings = get_run_logger(), get_current_settings().to_environment_variables(exclude_unset=True)
    words = ["genarm", "watch", "--rollback" if carry_out else "--no-rollback"]
    with following("watch champions") as output:

        def line(text: str) -> None:
            if " wins " not in text:
                output.line(text)
            elif "too seldom" in text:
                log.warning("%s", text, **told("watch"))
            else:
                log.info("%s", text, **told("watch"))

        code, lines = run(words, project.root, {**os.environ, **settings}, line)
    if code:
        said = next((one for one in reversed(lines) if one.startswith("error: ")), f"exit code {code}")
        log.warning("champions are not measured tonight: %s", said.removeprefix("error: "), **told())
        return False
    return True
