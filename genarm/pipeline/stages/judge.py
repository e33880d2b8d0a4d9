"""The stage `judge`: the responses of all sides to verdicts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from genarm.judges import LoadedJudge, load_with_origin
from genarm.judges import judge as compare
from genarm.judges.apart import check_apart
from genarm.judges.statistics import AskedJudge
from genarm.pipeline.kept import code, kept
from genarm.pipeline.looks import batches
from genarm.pipeline.project import Project
from genarm.system.files import sha256, write_json, write_rows
from genarm.types import Prompt, Response, Side, Verdict

CODE = ("judges", "models", "types.py")  # what a verdict depends on, beside a judge of one's own


@dataclass(frozen=True, slots=True)
class _Asked:
    """A judge, the dimension that it judges, and whether it is the held-out one."""

    dimension: str
    found: LoadedJudge
    held_out: bool = False

    @property
    def name(self) -> str:
        return f"{self.dimension}, held out" if self.held_out else self.dimension


def judge(project: Project, dimension: str) -> list[Verdict]:
    """Compare the sides that answered for one dimension's challenger, on every dimension.

    The held-out judge of that dimension, where it has one, compares the same sides after the others. Raises
    JudgeError where it is the dimension's judge under another name.
    """
    layout, params = project.layout, project.params
    check_apart(dimension, params.dimensions[params.known(dimension)], project.root)
    sides = project.responses(dimension)
    asked = [_Asked(d, load_with_origin(c.judge, project.root)) for d, c in params.dimensions.items()]
    if (second := params.dimensions[dimension].held_out) is not None:
        asked.append(_Asked(dimension, load_with_origin(second, project.root), held_out=True))
    if project.looks(dimension):
        verdicts = _look_by_look(project, dimension, sides, asked)
    else:
        answered = {r.prompt_id for r in sides["base"]}
        prompts = [p for p in project.prompts(dimension) if p.id in answered]
        verdicts = [v for one in asked for v in _judged(prompts, sides, one)]
    write_rows(layout.verdicts(dimension), verdicts)
    models = {a.name: a.found.judge for a in asked if isinstance(a.found.judge, AskedJudge)}
    if models:  # tokens and dollars are of this run: beside the verdicts, as other costs are
        told = {name: {"usage": m.usage, "statistics": m.statistics} for name, m in models.items()}
        write_json(layout.judge_statistics(dimension), told)
    return verdicts


def _look_by_look(
    project: Project, dimension: str, sides: Mapping[Side, Sequence[Response]], asked: Sequence[_Asked]
) -> list[Verdict]:
    """Batch by batch; those of earlier looks are kept, unless the judge is asked and keeps its answers."""
    verdicts: list[Verdict] = []
    for batch in batches(project, dimension):
        ids = {p.id for p in batch}
        answers = {side: [r for r in rows if r.prompt_id in ids] for side, rows in sides.items()}
        for one in asked:
            make = partial(_judged, batch, answers, one)
            if isinstance(one.found.judge, AskedJudge):
                verdicts += make()
            else:
                verdicts += kept(project, "verdicts", _depends_on(one, answers), Verdict, make)
    return verdicts


def _judged(
    prompts: Sequence[Prompt], sides: Mapping[Side, Sequence[Response]], one: _Asked
) -> list[Verdict]:
    said = compare(prompts, sides, {one.dimension: one.found.judge})
    return [replace(v, judge=one.found.identity, held_out=one.held_out) for v in said]


def _depends_on(one: _Asked, answers: Mapping[Side, Sequence[Response]]) -> dict[str, Any]:
    # A judge may import more of the project once it is asked.
    files = {*one.found.files, *(f for file in one.found.files for f in file.parent.glob("*.py"))}
    return {
        "texts": {side: [(r.prompt_id, r.text) for r in rows] for side, rows in answers.items()},
        "judge": [one.name, one.found.config, one.found.identity],
        "files": sorted(sha256(file) for file in files),
        "code": code(*CODE),
    }
