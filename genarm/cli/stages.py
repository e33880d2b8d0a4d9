"""The commands of single stages, which DVC runs, and `genarm accuracy`."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from genarm.cli.console import Dimension, Json, out, project, show, stage_project
from genarm.system.counted import counted
from genarm.types import Side


def pairs(dimension: Dimension, as_json: Json = False) -> None:
    """Check the preference data of one dimension, split it by conversation, set aside what is malformed."""
    from genarm.pipeline.decodable import check_decodable
    from genarm.pipeline.stages.pairs import pairs as run_stage

    here = stage_project("pairs", dimension)
    check_decodable(here.params, here.base)
    show(run_stage(here, dimension), as_json)


def prompts(as_json: Json = False) -> None:
    """Gather the evaluation prompts of all dimensions."""
    from genarm.pipeline.stages.prompts import prompts as run_stage

    found = run_stage(stage_project("prompts"))
    show(found if as_json else counted(len(found), "evaluation prompt"), as_json)


def train(dimension: Dimension, as_json: Json = False) -> None:
    """Fine-tune the ARM of one dimension."""
    from genarm.pipeline.train_process import train as run_stage

    show(run_stage(stage_project("train", dimension), dimension), as_json)


def accuracy(
    dimension: Dimension,
    file: Annotated[Path, typer.Argument(help="preference pairs in any known format", exists=True)],
    as_json: Json = False,
) -> None:
    """How often the trained ARM prefers the chosen response, and its implicit reward does."""
    from genarm.operations.accuracy import accuracy as measure

    show(measure(project(), dimension, file.resolve()), as_json)


def respond(
    side: Annotated[Side, typer.Argument(help="who answers")],
    dimension: Annotated[str | None, typer.Argument(help="whose challenger or champion")] = None,
    as_json: Json = False,
) -> None:
    """Answer the evaluation prompts."""
    from genarm.pipeline.registry_fetch import fetch_version
    from genarm.pipeline.respond_best_of import respond as run_stage
    from genarm.pipeline.stage_names import RESPOND_OF

    here = stage_project(RESPOND_OF[side], dimension or "")
    responses = run_stage(here, side, dimension, partial(fetch_version, here))
    show(responses if as_json else counted(len(responses), "response"), as_json)


def judge(dimension: Dimension, as_json: Json = False) -> None:
    """Compare challenger, champion and base on every dimension."""
    from genarm.pipeline.preflight.judges import require_judges
    from genarm.pipeline.stages.judge import judge as run_stage

    here = stage_project("judge", dimension)
    require_judges(here)
    verdicts = run_stage(here, dimension)
    show(verdicts if as_json else counted(len(verdicts), "verdict"), as_json)


def decide(as_json: Json = False) -> None:
    """Promote, hold, reject or same: the decision of every dimension, with its reasons."""
    from genarm.pipeline.stages.decide import decide as run_stage
    from genarm.report.closing import decisions_table

    decisions = run_stage(project())
    show(decisions if as_json else decisions_table(decisions), as_json)


def report(as_json: Json = False) -> None:
    """Write the report as HTML, Markdown and JSON."""
    from genarm.pipeline.lineage import report_lineage
    from genarm.pipeline.stages.report import report as run_stage

    here = stage_project("report")
    page = run_stage(here, report_lineage(here))
    if as_json:
        show({"report": str(page)}, as_json)
    else:
        out.print(page, soft_wrap=True)  # a path that is cut in two cannot be opened
