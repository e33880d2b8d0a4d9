"""The stage `judge`: the responses of all sides to verdicts."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from genarm.judges import LoadedJudge, load_with_origin
from genarm.judges import judge as compare
from genarm.judges.statistics import AskedJudge
from genarm.pipeline.kept import code, kept
from genarm.pipeline.looks import batches
from genarm.pipeline.project import Project
from genarm.system.files import sha256, write_json, write_rows
from genarm.types import Prompt, Response, Side, Verdict

CODE = ("judges", "models", "types.py")  # what a verdict depends on, beside a judge of one's own


def judge(project: Project, dimension: str) -> list[Verdict]:
    """Compare the sides that answered for one dimension's challenger, on every dimension."""
    layout, params = project.layout, project.params
    sides = project.responses(params.known(dimension))
    loaded = {d: load_with_origin(config.judge, project.root) for d, config in params.dimensions.items()}
    if project.looks(dimension):
        verdicts = _look_by_look(project, dimension, sides, loaded)
    else:
        answered = {r.prompt_id for r in sides["base"]}
        verdicts = _judged([p for p in project.prompts(dimension) if p.id in answered], sides, loaded)
    write_rows(layout.verdicts(dimension), verdicts)
    asked = {d: found.judge for d, found in loaded.items() if isinstance(found.judge, AskedJudge)}
    if asked:  # tokens and dollars are of this run: beside the verdicts, as other costs are
        told = {d: {"usage": judge.usage, "statistics": judge.statistics} for d, judge in asked.items()}
        write_json(layout.judge_statistics(dimension), told)
    return verdicts


def _look_by_look(
    project: Project,
    dimension: str,
    sides: Mapping[Side, Sequence[Response]],
    loaded: Mapping[str, LoadedJudge],
) -> list[Verdict]:
    """Batch by batch; those of earlier looks are kept, unless the judge is asked and keeps its answers."""
    verdicts: list[Verdict] = []
    for batch in batches(project, dimension):
        ids = {p.id for p in batch}
        answers = {side: [r for r in rows if r.prompt_id in ids] for side, rows in sides.items()}
        for judged, found in loaded.items():
            make = partial(_judged, batch, answers, {judged: found})
            if isinstance(found.judge, AskedJudge):
                verdicts += make()
            else:
                verdicts += kept(project, "verdicts", _depends_on(judged, found, answers), Verdict, make)
    return verdicts


def _judged(
    prompts: Sequence[Prompt], sides: Mapping[Side, Sequence[Response]], loaded: Mapping[str, LoadedJudge]
) -> list[Verdict]:
    verdicts = compare(prompts, sides, {d: found.judge for d, found in loaded.items()})
    return [replace(v, judge=loaded[v.dimension].identity) for v in verdicts]


def _depends_on(
    judged: str, found: LoadedJudge, answers: Mapping[Side, Sequence[Response]]
) -> dict[str, Any]:
    # A judge may import more of the project once it is asked.
    files = {*found.files, *(f for file in found.files for f in file.parent.glob("*.py"))}
    return {
        "texts": {side: [(r.prompt_id, r.text) for r in rows] for side, rows in answers.items()},
        "judge": [judged, found.config, found.identity],
        "files": sorted(sha256(file) for file in files),
        "code": code(*CODE),
    }
