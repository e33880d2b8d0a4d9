"""What commands add to the stage `train`: one process or several, the warm start, curves shown in MLflow."""

from functools import partial

from genarm.pipeline.decodable import check_decodable
from genarm.pipeline.lineage import provenance
from genarm.pipeline.project import Project
from genarm.pipeline.registry_fetch import fetch_version
from genarm.pipeline.stage_names import TRAIN
from genarm.pipeline.warm_start import fetch_start
from genarm.registry.live_run import following
from genarm.system.files import missing_told, read_json, sha256


def train(project: Project, dimension: str) -> dict[str, float]:
    """Train the ARM of one dimension, here or in processes of its own, and return its metrics.

    Raises ConfigError for an unknown dimension, ModelError for a model that could not be decoded, and what
    the training raises in whichever process.
    """
    from genarm.training.launch import launch, needs_launch

    config = project.params.train_config(dimension)
    check_decodable(project.params, project.base)  # of all dimensions: before the first one is trained
    if config.model:
        check_decodable(project.params, project.base, [dimension])
    if needs_launch(config):
        launch(project.root, dimension, config)
    else:
        train_in_process(project, dimension)
    return read_json(project.layout.train_metrics(dimension), dict[str, float])


def train_in_process(project: Project, dimension: str) -> None:
    """Run the stage in this process, alone or as one of several.

    Where the project has an MLflow store, the first process shows the curves there as they come. No file
    depends on it, and training never waits for it.
    """
    from genarm.pipeline.stages.train import train as run_stage
    from genarm.training.process_group import launched_as_main

    config = project.params.train_config(dimension)
    start, version = fetch_start(project, dimension, partial(fetch_version, project)) or (None, None)
    origin = provenance(project, dimension, version)
    pairs = project.layout.pairs(dimension, "train")
    with missing_told(pairs):
        pairs_sha256 = sha256(pairs)
    tags = {
        "dimension": dimension,
        "data_md5": origin.data_md5,
        "git_commit": origin.git_commit,
        "pairs_sha256": pairs_sha256,
    }
    settings = {"base": project.params.base.model, **config.model_dump(mode="json")}
    shown_for = project.root if launched_as_main() else None
    with following(shown_for, f"{TRAIN} {dimension}", tags, settings) as live:
        result = run_stage(project, dimension, origin, start=start, journal=live)
        live.adapter_sha256 = result.card.adapter_sha256
