"""The unit `train-*`: one model of an experiment, made with one training seed."""

import shutil

from genarm.experiments.load import Experiment
from genarm.experiments.train_context import TrainContext
from genarm.experiments.units import model_folder
from genarm.system.files import write_curves, write_json


def train(experiment: Experiment, model: str, seed: int) -> None:
    """Make a model, write metrics and curves; what a killed training left is gone on with, then removed.

    Raises what the trainer raises.
    """
    place = experiment.place
    context = TrainContext(
        base=experiment.base,
        dtype=experiment.base_config.dtype,
        pairs={dimension: place.pairs(dimension) for dimension in experiment.config.data},
        models={part: model_folder(experiment, part, seed) for part in experiment.parts_of(model)},
        name=model,
        seed=seed,
        out=place.model(model, seed),
        checkpoints=place.checkpoints(model, seed),
    )
    context.out.parent.mkdir(parents=True, exist_ok=True)
    made = experiment.trainer(model).train(context, experiment.model_settings(model))
    write_json(place.training(model, seed), made.metrics)
    write_curves(place.curves(model, seed), made.curves)
    shutil.rmtree(context.checkpoints, ignore_errors=True)
