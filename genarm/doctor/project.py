"""The project's own files: parameters, and the champions that a run measures against."""

from pathlib import Path

from genarm.errors import ConfigError, DataError
from genarm.pipeline.check_result import CheckResult, fail, ok, warn
from genarm.pipeline.project import Project


def parameters(root: Path) -> list[CheckResult]:
    """Check that params.yaml holds what the pipeline reads, and nothing else."""
    try:
        params = Project(root).params
    except ConfigError as error:
        return [fail("params.yaml", error.message, error.hint)]
    return [ok("params.yaml", f"valid; dimensions: {', '.join(params.dimensions)}")]


def champions(root: Path) -> list[CheckResult]:
    """Check the snapshot of the champion aliases that challengers are judged against."""
    check, project = "champions", Project(root)
    try:
        entries = project.champions()
    except DataError as error:
        fix = "git restore mlflow/champions.json && genarm registry reconcile"
        return [fail(check, error.message, fix)]
    try:
        dimensions = list(project.params.dimensions)
    except ConfigError:
        dimensions = list(entries)  # reported by the check of params.yaml
    missing = [dimension for dimension in dimensions if dimension not in entries]
    unknown = [dimension for dimension in entries if dimension not in dimensions]
    if missing or unknown:
        which = (
            f"no entry for {missing[0]!r}" if missing else f"{unknown[0]!r} is no dimension of params.yaml"
        )
        return [warn(check, f"mlflow/champions.json: {which}", "genarm registry reconcile")]
    shown = [f"{d} {f'version {c.version}' if c else 'none yet'}" for d, c in entries.items()]
    return [ok(check, ", ".join(shown) or "none yet")]
