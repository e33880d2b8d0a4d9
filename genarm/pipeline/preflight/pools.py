"""Whether stages can run on other machines, where `pools` names any."""

from genarm.pipeline.check_result import CheckResult
from genarm.pipeline.elsewhere.ready import ready
from genarm.pipeline.project import Project


def pools(project: Project) -> list[CheckResult]:
    """Check commit and remotes; the flow asks the server for pools and workers as it begins."""
    return ready(project) if project.params.pools.named else []
