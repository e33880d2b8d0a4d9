"""Whether the judges that were trained here are there, and disjoint from what the ARMs see."""

from genarm.errors import GenarmError
from genarm.pipeline.check_result import CheckResult, fail
from genarm.pipeline.judge_fetch import fetch_judge, trained
from genarm.pipeline.project import Project


def trained_judges(project: Project) -> list[CheckResult]:
    """Fetch each; nothing where there are none, or all can be used."""
    results = list[CheckResult]()
    for dimension, config in trained(project):
        try:
            fetch_judge(project, dimension, config)
        except GenarmError as error:
            results.append(fail("trained judges", f"dimensions.{dimension}: {error.message}", error.hint))
    return results
