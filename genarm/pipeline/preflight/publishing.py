"""Whether a run can publish what it will have decided, and whether the last one left something."""

from genarm.pipeline.check_result import CheckResult, warn
from genarm.pipeline.project import Project
from genarm.pipeline.publish.ready import NAME, ready
from genarm.pipeline.publish.record import last


def publishing(project: Project) -> list[CheckResult]:
    """Check what `publish` asks for, before a night's work hangs on it; nothing where it asks for nothing."""
    config = project.params.publish
    if not config.is_asked_for:
        return []
    found = ready(project.root, config)
    if left := last(project.root).left:
        detail = f"the last publishing left something: {' / '.join(left)}"
        found.append(warn(NAME, detail, "genarm publish; a run that ends does the same"))
    return found
