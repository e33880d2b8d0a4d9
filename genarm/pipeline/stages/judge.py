"""The stage `judge`: the responses of all sides to verdicts."""

from dataclasses import replace

from genarm.judges import judge as compare
from genarm.judges import load_with_origin
from genarm.judges.statistics import AskedJudge
from genarm.pipeline.project import Project
from genarm.system.files import read_rows, write_json, write_rows
from genarm.types import Prompt, Verdict


def judge(project: Project, dimension: str) -> list[Verdict]:
    """Compare the sides that answered for one dimension's challenger, on every dimension."""
    layout, params = project.layout, project.params
    sides = project.responses(params.known(dimension))
    answered = {r.prompt_id for r in sides["base"]}
    prompts = [p for p in read_rows(layout.prompts, Prompt) if p.id in answered]
    loaded = {d: load_with_origin(config.judge, project.root) for d, config in params.dimensions.items()}
    verdicts = compare(prompts, sides, {d: found.judge for d, found in loaded.items()})
    verdicts = [replace(v, judge=loaded[v.dimension].identity) for v in verdicts]
    write_rows(layout.verdicts(dimension), verdicts)
    asked = {d: found.judge for d, found in loaded.items() if isinstance(found.judge, AskedJudge)}
    if asked:  # tokens and dollars are of this run: beside the verdicts, as other costs are
        told = {d: {"usage": judge.usage, "statistics": judge.statistics} for d, judge in asked.items()}
        write_json(layout.judge_statistics(dimension), told)
    return verdicts
