"""Whether `dvc.yaml` has the stages that this version of genarm runs."""

from collections.abc import Mapping
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from genarm import __version__
from genarm.errors import ConfigError
from genarm.pipeline.check_result import CheckResult, fail, ok
from genarm.pipeline.project import Project
from genarm.pipeline.stage_names import STAGES

FILE = "dvc.yaml"
ANEW = "take it from a new project of this version: genarm init ../new-project"


def stages(project: Project) -> list[CheckResult]:
    """Check that every stage is there, and runs once for each dimension where it should."""
    found = read_stages(project)
    if missing := [name for name in STAGES if name not in found]:
        detail = f"{FILE} has no stage {', '.join(missing)}, which genarm {__version__} runs"
        return [fail(FILE, detail, ANEW)]
    for name, runs_for_each in STAGES.items():
        repeated = any(key in found[name] for key in ("matrix", "foreach"))
        if repeated != runs_for_each:
            runs = "once for each dimension" if runs_for_each else "once for all dimensions"
            detail = (
                f"{FILE}: genarm {__version__} runs the stage {name} {runs}, and this one is not written so"
            )
            return [fail(FILE, detail, ANEW)]
    return [ok(FILE, f"all {len(STAGES)} stages are there")]


def read_stages(project: Project) -> Mapping[str, Mapping[str, Any]]:
    """The stages of `dvc.yaml` by name. Raises ConfigError where they cannot be read."""
    path = project.root / FILE
    try:
        found = YAML(typ="safe").load(path.read_text(encoding="utf-8"))["stages"]
        return {name: dict(stage) for name, stage in found.items()}
    except FileNotFoundError:
        raise ConfigError(f"{path} is missing", hint=f"git restore {FILE}, or {ANEW}") from None
    except MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise ConfigError(
            f"{path} is not valid YAML: {line}{error.problem}", hint="correct the line that the message names"
        ) from None
    except (OSError, YAMLError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{path} holds no stages: {type(error).__name__}", hint=ANEW) from None


def dependencies(stage: Mapping[str, Any]) -> list[str]:
    """The paths among the `deps` of a stage."""
    written = stage.get("do", stage).get("deps") or ()
    return [dep if isinstance(dep, str) else next(iter(dep)) for dep in written]
