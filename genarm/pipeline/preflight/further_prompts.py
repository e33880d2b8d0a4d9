"""Whether a run can go on after a hold: the prompts of `decide.extra`, and what `dvc.yaml` knows of both."""

from genarm.data.prompts import read_prompts
from genarm.errors import ConfigError
from genarm.pipeline.check_result import CheckResult, fail, ok, warn
from genarm.pipeline.preflight.stages import ANEW, FILE, dependencies, read_stages
from genarm.pipeline.project import Project
from genarm.pipeline.stage_names import PROMPTS, RESPOND


def further_prompts(project: Project) -> list[CheckResult]:
    """Read the whole file; every row must be a prompt, and DVC must see when the file changes."""
    rule, results = project.params.decide, list[CheckResult]()
    if rule.max_prompts is None:
        return []
    try:
        stages = read_stages(project)
    except ConfigError:
        return []  # reported by the check of dvc.yaml
    noted = project.layout.looks.relative_to(project.root).as_posix()
    respond = stages.get(RESPOND, {})
    if not any(isinstance(p, dict) and noted in p for p in respond.get("do", respond).get("params", ())):
        detail = (
            f"{FILE}: the stages do not depend on {noted}, so with decide.max_prompts nothing would go on"
        )
        fix = f"{ANEW}, or leave max_prompts out"
        results.append(fail("looks", detail, fix))
    if (name := rule.extra) is None:
        return results or [ok("looks", f"a hold goes on to at most {rule.max_prompts} prompts")]
    listed = dependencies(stages.get(PROMPTS, {}))
    if not any(name == dep or name.startswith(f"{dep.rstrip('/')}/") for dep in listed):
        detail = (
            f"{FILE}: the stage {PROMPTS} does not depend on {name}, so a change of it would go unnoticed"
        )
        results.append(fail("looks", detail, f"add `- {name}` to the deps of the stage {PROMPTS} in {FILE}"))
    if name.startswith("data/") and not project.layout.data.is_dir():
        detail = f"{name} is not there yet, so its rows are not checked"
        return [*results, warn("looks", detail, "dvc repro data.dvc")]
    if not (project.root / name).is_file():
        hint = "a JSON Lines file of the project, or below data/"
        return [*results, fail("looks", f"decide.extra names {name}, and there is no such file", hint)]
    found = read_prompts(project.root / name, name)
    if twice := len(found) - len({p.id for p in found}):
        detail = f"decide.extra: {twice} of the {len(found)} prompts of {name} stand there twice"
        results.append(warn("looks", detail, "each is answered once"))
    return results or [ok("looks", f"a hold goes on, also to the {len(found)} prompts of {name}")]
