"""The stage `judge`: the responses of all sides to verdicts."""

from genarm.judges import judge as compare
from genarm.judges import load_judge
from genarm.pipeline.project import Project
from genarm.system.files import read_rows, write_rows
from genarm.types import Prompt, Verdict


def judge(project: Project, dimension: str) -> list[Verdict]:
    """Compare the sides that answered for one dimension's challenger, on every dimension."""
    layout, params = project.layout, project.params
    sides = project.responses(params.known(dimension))
    answered = {r.prompt_id for r in sides["base"]}
    prompts = [p for p in read_rows(layout.prompts, Prompt) if p.id in answered]
    judges = {d: load_judge(config.judge) for d, config in params.dimensions.items()}
    verdicts = compare(prompts, sides, judges)
    write_rows(layout.verdicts(dimension), verdicts)
    return verdicts
