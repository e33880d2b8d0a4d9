"""The stage `judge`: the responses of all sides to verdicts."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from genarm.judges import LoadedJudge, load_with_origin
from genarm.judges import judge as compare
from genarm.pipeline.kept import code, kept
from genarm.pipeline.looks import batches
from genarm.pipeline.project import Project
from genarm.system.files import sha256, write_rows
from genarm.types import Prompt, Response, Side, Verdict

CODE = ("judges", "models", "types.py")  # what a verdict depends on, beside a judge of one's own


def judge(project: Project, dimension: str) -> list[Verdict]:
    """Compare the sides that answered for one dimension's challenger, on every dimension."""
    layout, params = project.layout, project.params
    sides = project.responses(params.known(dimension))
    loaded = {d: load_with_origin(config.judge, project.root) for d, config in params.dimensions.items()}
    verdicts: list[Verdict] = []
    if project.looks(dimension):
        for batch in batches(project, dimension):
            answers = _of(batch, sides)
            depends_on = _what_verdicts_depend_on(project, answers, loaded)
            judge_them = partial(_judged, batch, answers, loaded)
            verdicts += kept(project, "verdicts", depends_on, Verdict, judge_them)
    else:
        answered = {r.prompt_id for r in sides["base"]}
        verdicts = _judged([p for p in project.prompts(dimension) if p.id in answered], sides, loaded)
    write_rows(layout.verdicts(dimension), verdicts)
    return verdicts


def _judged(
    prompts: Sequence[Prompt], sides: Mapping[Side, Sequence[Response]], loaded: Mapping[str, LoadedJudge]
) -> list[Verdict]:
    verdicts = compare(prompts, sides, {d: found.judge for d, found in loaded.items()})
    return [replace(v, judge=loaded[v.dimension].identity) for v in verdicts]


def _of(prompts: Sequence[Prompt], sides: Mapping[Side, Sequence[Response]]) -> dict[Side, list[Response]]:
    """What each side answered to these prompts."""
    asked = {p.id for p in prompts}
    return {side: [r for r in rows if r.prompt_id in asked] for side, rows in sides.items()}


def _what_verdicts_depend_on(
    project: Project, answers: Mapping[Side, Sequence[Response]], loaded: Mapping[str, LoadedJudge]
) -> dict[str, Any]:
    own = {file for judge in loaded.values() for file in judge.files}
    # A judge may import more of the project once it is asked.
    files = {*own, *(f for file in own for f in file.parent.glob("*.py"))}
    return {
        "texts": {side: [(r.prompt_id, r.text) for r in rows] for side, rows in answers.items()},
        "judges": {d: [judge.config, judge.identity] for d, judge in loaded.items()},
        "files": sorted(sha256(file) for file in files),
        "code": code(*CODE),
    }
