"""The commands that choose how strongly to guide: one ARM, and several together."""

from genarm.cli.console import Dimension, Json, show, stage_project


def tune(dimension: Dimension, as_json: Json = False) -> None:
    """Find the weight that the ARM of one dimension guides with, on validation prompts."""
    from genarm.pipeline.preflight.judges import require_judges
    from genarm.pipeline.stages.tune import tune as run_stage

    here = stage_project("tune", dimension)
    require_judges(here)
    tuned = run_stage(here, dimension)
    show(tuned if as_json else f"weight {tuned.weight:g}: {tuned.why}", as_json)
