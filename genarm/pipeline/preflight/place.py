"""Whether what a run trains could be registered: a project that was moved has left its files behind."""

from genarm.pipeline.check_result import CheckResult, ok
from genarm.pipeline.project import Project
from genarm.registry.place import check_place


def store_place(project: Project) -> list[CheckResult]:
    """Raises RegistryError where the local store keeps its files elsewhere."""
    check_place(project.root)
    return [ok("store place", "the project was not moved away from its files")]
