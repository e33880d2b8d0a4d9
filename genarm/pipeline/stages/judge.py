"""The stage `judge`: the responses of all sides to verdicts."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from genarm.errors import DataError
from genarm.judges import LoadedJudge, load_with_origin
from genarm.judges import judge as compare
from genarm.judges.apart import check_apart
from genarm.judges.statistics import AskedJudge, Told, told
from genarm.pipeline.kept import code, kept
from genarm.pipeline.looks import batches
from genarm.pipeline.project import Project
from genarm.system.files import read_json, sha256, write_json, write_rows
from genarm.types import Prompt, Response, Side, Verdict

CODE = ("judges", "models", "types")  # what a verdict depends on, beside a judge of one's own
Key = tuple[str, bool]  # the dimension that is judged, and whether by its held-out judge


def judge(project: Project, dimension: str) -> list[Verdict]:
    """Compare the sides that answered for one dimension's challenger, on every dimension.

    The held-out judge of that dimension, where it has one, compares the same sides after the others. Raises
    JudgeError where it is the dimension's judge under another name.
    """
    layout, params = project.layout, project.params
    own = params.dimensions[params.known(dimension)]
    check_apart(dimension, own, project.root)
    sides = project.responses(dimension)
    configs = {(d, False): config.judge for d, config in params.dimensions.items()}
    if own.held_out is not None:
        configs[dimension, True] = own.held_out
    loaded = {key: load_with_origin(config, project.root) for key, config in configs.items()}
    if project.looks(dimension):
        verdicts = _look_by_look(project, dimension, sides, loaded)
    else:
        answered = {r.prompt_id for r in sides["base"]}
        verdicts = _judged([p for p in project.prompts(dimension) if p.id in answered], sides, loaded)
    write_rows(layout.verdicts(dimension), verdicts)
    judges = {f"{d}, held out" if held_out else d: found.judge for (d, held_out), found in loaded.items()}
    # Tokens and dollars are of this run: beside the verdicts, as other costs are.
    if asked := told(judges, _told_before(project, dimension)):
        write_json(layout.judge_statistics(dimension), asked)
    return verdicts


def _told_before(project: Project, dimension: str) -> dict[str, Told]:
    """What earlier looks have cost; nothing at the first one, or where the file was damaged."""
    file = project.layout.judge_statistics(dimension)
    if len(project.looks(dimension)) < 2 or not file.is_file():
        return {}
    try:
        return read_json(file, dict[str, Told])
    except DataError:
        return {}


def _look_by_look(
    project: Project,
    dimension: str,
    sides: Mapping[Side, Sequence[Response]],
    loaded: Mapping[Key, LoadedJudge],
) -> list[Verdict]:
    """Batch by batch; those of earlier looks are kept, unless the judge is asked and keeps its answers."""
    verdicts: list[Verdict] = []
    for batch in batches(project, dimension):
        ids = {p.id for p in batch}
        answers = {side: [r for r in rows if r.prompt_id in ids] for side, rows in sides.items()}
        for key, found in loaded.items():
            make = partial(_judged, batch, answers, {key: found})
            if isinstance(found.judge, AskedJudge):
                verdicts += make()
            else:
                verdicts += kept(project, "verdicts", _depends_on(key, found, answers), Verdict, make)
    return verdicts


def _judged(
    prompts: Sequence[Prompt], sides: Mapping[Side, Sequence[Response]], loaded: Mapping[Key, LoadedJudge]
) -> list[Verdict]:
    return [
        replace(verdict, judge=found.identity, held_out=held_out)
        for (dimension, held_out), found in loaded.items()
        for verdict in compare(prompts, sides, {dimension: found.judge})
    ]


def _depends_on(key: Key, found: LoadedJudge, answers: Mapping[Side, Sequence[Response]]) -> dict[str, Any]:
    # A judge may import more of the project once it is asked.
    files = {*found.files, *(f for file in found.files for f in file.parent.glob("*.py"))}
    return {
        "texts": {side: [(r.prompt_id, r.text) for r in rows] for side, rows in answers.items()},
        "judge": [*key, found.config, found.identity],
        "files": sorted(sha256(file) for file in files),
        "code": code(*CODE),
    }
