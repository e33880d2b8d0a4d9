"""Whether every dimension's judge loads, scores, and makes its verdicts stale when its code changes."""

import contextlib
import sys
from collections.abc import Collection, Iterable
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from genarm.config import DimensionConfig, JudgeConfig, Params
from genarm.errors import ConfigError, JudgeError, Unreachable
from genarm.judges import LoadedJudge, load_with_origin
from genarm.judges import judge as compare
from genarm.judges.apart import check_apart
from genarm.judges.check import check, own_files
from genarm.pipeline.check_result import CheckResult, fail, in_one, ok, warn
from genarm.pipeline.judge_fetch import fetch_judges, folder_of
from genarm.pipeline.preflight.stages import FILE, dependencies, read_stages
from genarm.pipeline.project import Project
from genarm.pipeline.stage_names import JUDGE, TUNE
from genarm.types import Message, Prompt, Response, Side

PROMPT = Prompt((Message("user", "How are you?"),))
TEXTS: dict[Side, str] = {"base": "", "challenger": "Fine, thanks."}
REQUIREMENTS = "requirements.txt"
ASKING = {JUDGE: "its verdicts", TUNE: "its weights"}  # the stages that ask judges, and what they write


def judges(project: Project) -> list[CheckResult]:
    """Let every scorer compare an empty response with a short one; check other judges cheaply.

    A held-out judge must not be the judge of its dimension under another name.
    """
    results, loaded = _tried(project)
    results += code_results(project, loaded)
    named = ", ".join(f"{d} by {_named(config)}" for d, config in project.params.dimensions.items())
    if results or any(_is_absent(project, config) for config in judge_configs(project.params).values()):
        return results
    return [ok("judges", f"each can compare two responses: {named}")]


def require_able(project: Project) -> None:
    """Raise JudgeError with all that keeps judges from judging, wherever their code is listed."""
    fetch_judges(project)
    if results := _tried(project)[0]:
        raise in_one(results, JudgeError)


def _tried(project: Project) -> tuple[list[CheckResult], dict[str, LoadedJudge]]:
    """Which judges cannot judge, and the scorers that can. A trained one that is absent is told elsewhere."""
    results, loaded, sound = list[CheckResult](), dict[str, LoadedJudge](), list[str]()
    for key, config in judge_configs(project.params).items():
        if _is_absent(project, config):
            continue
        try:
            if config.scorer is None:
                check(config, project.root)
            else:
                loaded[key] = load_with_origin(config, project.root)
                try_out(loaded[key])
            sound.append(key)
        except (JudgeError, Unreachable) as error:
            results.append(fail("judges", f"dimensions.{key}: {error.message}", error.hint))
    return results + _apart(project, sound), loaded


def require_judges(project: Project) -> None:
    """Raise JudgeError where a scorer fails, or its code is no dependency of its stage.

    Its verdicts would outlive the code otherwise.
    """
    fetch_judges(project)
    configs = judge_configs(project.params)
    loaded = {key: load_with_origin(config, project.root) for key, config in configs.items() if config.scorer}
    for scorer in loaded.values():
        try_out(scorer)
    for result in code_results(project, loaded):
        if result.status == "fail":
            raise JudgeError(result.detail, hint=result.fix)


def try_out(loaded: LoadedJudge) -> None:
    """Compare an empty response with a short one. Raises JudgeError where the judge cannot."""
    rows: dict[Side, list[Response]] = {
        side: [Response(PROMPT.id, text, len(text.split()), "stop", -1.0, 0.0)]
        for side, text in TEXTS.items()
    }
    try:
        with contextlib.redirect_stdout(sys.stderr):  # what a judge prints is no answer of a command
            compare([PROMPT], rows, {"": loaded.judge})
    except JudgeError as error:
        told = error.message.replace(f"prompt {PROMPT.id}", f"{PROMPT.messages[0].content!r}, a trial")
        raise JudgeError(told, hint=error.hint) from None


def code_results(project: Project, loaded: dict[str, LoadedJudge]) -> list[CheckResult]:
    """What of the judges' code `dvc.yaml` does not list, and packages whose version nothing pins."""
    try:
        found = read_stages(project)
        listed = {stage: dependencies(found[stage]) for stage in ASKING if stage in found}
    except ConfigError:
        return []  # reported by the check of dvc.yaml
    files = {file for judge in loaded.values() for file in judge.files}
    others = [config for config in judge_configs(project.params).values() if config.scorer is None]
    files |= {file for config in others for file in own_files(config, project.root)}
    root, results = project.root.resolve(), list[CheckResult]()
    paths = sorted(file.relative_to(root).as_posix() for file in files)
    for stage, deps in listed.items():
        if stray := [path for path in paths if not _covered(path, deps)]:
            detail = (
                f"{FILE}: the stage {stage} does not depend on {', '.join(stray)}, "
                f"so {ASKING[stage]} would stay as they are when that changes"
            )
            lines = ", ".join(f"`- {path}`" for path in stray)
            results.append(fail("judges", detail, f"add {lines} to the deps of the stage {stage} in {FILE}"))
    pinned = _pinned(project.root, listed.get(JUDGE, ()))
    packages = sorted({judge.package for judge in loaded.values() if judge.package})
    for name in (package for package in packages if canonicalize_name(package) not in pinned):
        detail = f"a judge is of the package {name}, and another version of it would not make verdicts anew"
        fix = (
            f"name {name} with its version in {REQUIREMENTS}, and that file in the deps of the stage {JUDGE}"
        )
        results.append(warn("judges", detail, fix))
    return results


def judge_configs(params: Params) -> dict[str, JudgeConfig]:
    """Every judge by its key below `dimensions`: `positive.judge`, also `positive.held_out`."""
    found = dict[str, JudgeConfig]()
    for dimension, config in params.dimensions.items():
        found[f"{dimension}.judge"] = config.judge
        if config.held_out is not None:
            found[f"{dimension}.held_out"] = config.held_out
    return found


def _apart(project: Project, sound: Collection[str]) -> list[CheckResult]:
    """A failure for each dimension whose held-out judge is its judge; `sound` are those that can judge."""
    results = list[CheckResult]()
    for dimension, config in project.params.dimensions.items():
        if {f"{dimension}.judge", f"{dimension}.held_out"} <= set(sound):
            try:
                check_apart(dimension, config, project.root)
            except JudgeError as error:
                results.append(fail("judges", error.message, error.hint))
    return results


def _is_absent(project: Project, config: JudgeConfig) -> bool:
    """Whether it is a trained judge that could not be fetched."""
    return config.trained is not None and not folder_of(project, config.trained).is_dir()


def _named(config: DimensionConfig) -> str:
    second = f" and, held out, {config.held_out.name}" if config.held_out else ""
    return f"{config.judge.name}{second}"


def _covered(path: str, listed: Iterable[str]) -> bool:
    return any(path == dep or path.startswith(f"{dep.rstrip('/')}/") for dep in listed)


def _pinned(root: Path, listed: Iterable[str]) -> set[str]:
    """The packages that a requirements file among the dependencies names, in canonical spelling."""
    names = set[str]()
    if REQUIREMENTS in listed and (file := root / REQUIREMENTS).is_file():
        for line in file.read_text(encoding="utf-8").splitlines():
            with contextlib.suppress(InvalidRequirement):
                names.add(canonicalize_name(Requirement(line.split("#")[0].strip()).name))
    return names
