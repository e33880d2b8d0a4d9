"""What can be known before a run: the checks that `genarm plan` and every run make, too."""

from pathlib import Path

from genarm.errors import ConfigError
from genarm.pipeline import preflight
from genarm.pipeline.check_result import CheckResult
from genarm.pipeline.preflight.further_prompts import further_prompts
from genarm.pipeline.preflight.judge_checks import judge_checks
from genarm.pipeline.preflight.judges import judges
from genarm.pipeline.preflight.models import arms
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

# The base model and git have checks of their own here.
CHECKS = (
    *(store_place, stages, sources, further_prompts, trained_judges, judges, judge_checks),
    *(arms, publishing, pools, servers, watching, disk_need, memory_need),
)


def ahead(root: Path) -> list[CheckResult]:
    """Check stages, data, judges and room; nothing where the parameters cannot be read, which is told."""
    project = Project(root)
    try:
        _ = project.params
    except ConfigError:
        return []  # reported by the check of params.yaml
    checks = [c for c in CHECKS if c is not sources or project.layout.data.is_dir()]  # said by that of DVC
    return [result for asked in checks for result in preflight.examined(asked, project)]
