"""The commands that choose how strongly to guide: one ARM, and several together."""

from typing import Annotated

import typer

from genarm.cli.console import Dimension, Json, out, project, show, stage_project


def tune(dimension: Dimension, as_json: Json = False) -> None:
    """Find the weight that the ARM of one dimension guides with, on validation prompts."""
    from genarm.pipeline.stages.tune import tune as run_stage

    here = stage_project("tune", dimension)
    if here.params.dimensions[here.params.known(dimension)].weight == "tuned":
        from genarm.pipeline.preflight.judges import require_judges

        require_judges(here)
    tuned = run_stage(here, dimension)
    show(tuned if as_json else f"weight {tuned.weight:g}: {tuned.why}", as_json)


def front(
    weights: Annotated[
        str,
        typer.Option(
            help="the weights that are shared out, such as positive=0.5,plain=0.2; their own by default"
        ),
    ] = "",
    steps: Annotated[int, typer.Option(min=1, help="shares are multiples of 1 / steps")] = 4,
    prompts: Annotated[
        int | None, typer.Option(min=2, help="at most so many; tune.prompts by default")
    ] = None,
    as_json: Json = False,
) -> None:
    """Try mixtures of all trained ARMs on validation prompts, and draw the front that they reach."""
    from genarm.chat.conversation import parse_weights
    from genarm.operations.front import front as measure

    here = project()
    given = parse_weights(weights, list(here.params.dimensions)) if weights else None
    folder = measure(here, given, steps=steps, prompts=prompts)
    if as_json:
        print((folder / "front.json").read_text(encoding="utf-8"), end="")
    else:
        out.print(folder / "front.html", soft_wrap=True)
