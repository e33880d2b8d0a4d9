"""Whether the decision sees how far the judges agree with people: `judge-checks.json` and who reads it."""

from genarm.errors import ConfigError
from genarm.pipeline.check_result import CheckResult, fail, ok, warn
from genarm.pipeline.preflight.stages import FILE, read_stages
from genarm.pipeline.project import Project
from genarm.pipeline.stage_names import DECIDE


def judge_checks(project: Project) -> list[CheckResult]:
    """Check that the file can be read, and that a check made anew makes the decision anew.

    Raises DataError where the file is damaged.
    """
    path = project.layout.judge_checks
    try:
        params = read_stages(project)[DECIDE].get("params") or ()
    except (ConfigError, KeyError):
        return []  # reported by the check of dvc.yaml
    listed = any(entry == path.name or (isinstance(entry, dict) and path.name in entry) for entry in params)
    if not path.is_file():
        if not listed:
            return []  # a project of an earlier version
        detail = f"{path.name} is missing, and the stage {DECIDE} depends on it"
        return [
            fail(
                "judge checks", detail, f"git restore {path.name}, or without checks: echo {{}} > {path.name}"
            )
        ]
    checked = [dimension for dimension, checks in project.judge_checks().items() if checks]
    if checked and not listed:
        detail = (
            f"{FILE}: the stage {DECIDE} does not depend on {path.name}, so a new check changes no decision"
        )
        return [
            warn(
                "judge checks", detail, f"add `- {path.name}:` to the params of the stage {DECIDE} in {FILE}"
            )
        ]
    told = f"judges checked against people: {', '.join(checked)}" if checked else "no judge was checked yet"
    return [ok("judge checks", told)]
