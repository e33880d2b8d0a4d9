"""The stage `train`: the pairs of one dimension to its ARM, the challenger."""

from pathlib import Path

from genarm.pipeline.project import Project
from genarm.system.files import write_curves, write_json, write_rows, write_text
from genarm.training.callbacks import Journal, quiet
from genarm.training.process_group import is_main_process
from genarm.training.train import TrainResult, train_arm
from genarm.types import Provenance


def train(
    project: Project,
    dimension: str,
    provenance: Provenance,
    *,
    start: Path | None = None,
    journal: Journal = quiet,
) -> TrainResult:
    """artifacts/pairs/<dimension> -> artifacts/arms/<dimension>, in this process.

    `start` is the folder of the ARM that training starts from, if it does not start anew; `journal` takes the
    rows of the curves as they come. Where several processes train together, the main one writes.
    """
    layout, params = project.layout, project.params
    result = train_arm(
        layout.pairs(dimension, "train"),
        layout.pairs(dimension, "validation"),
        dimension=dimension,
        base=project.base,
        dtype=params.base.dtype,
        config=params.train_config(dimension),
        out=layout.arm(dimension),
        checkpoints=layout.checkpoints(dimension),
        provenance=provenance,
        start=start,
        journal=journal,
    )
    if is_main_process():
        write_text(layout.train_hash(dimension), result.card.adapter_sha256 + "\n")
        write_json(layout.train_metrics(dimension), result.metrics)
        write_curves(layout.train_curves(dimension), result.curves)
        write_rows(layout.train_quarantine(dimension), result.refused)
    return result
