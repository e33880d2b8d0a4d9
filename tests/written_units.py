"""What the units of a toy experiment would have written, made up: for tests of judging, table and page.

The judges that read it are real. No model is loaded, so all rows and claims take a second.
"""

import random
from collections.abc import Mapping

from genarm.experiments.answer import Answer, Cost
from genarm.experiments.judge import judge
from genarm.experiments.load import Experiment
from genarm.experiments.speed import Speed
from genarm.experiments.tuned import Chosen, Tried
from genarm.system.files import write_curves, write_json, write_rows
from genarm.types import Estimate, Message, Prompt, Response

CURVES = [
    {"step": 1.0, "loss": 0.7},
    {"step": 2.0, "loss": 0.5, "eval/loss": 0.6, "eval/margin": float("nan")},
]


def write_units(
    experiment: Experiment,
    share: Mapping[str, float],
    prompts: int = 24,
    training: Mapping[str, Mapping[str, float]] | None = None,
) -> None:
    """Answers of each row whose letters are `a` with a chance of `share[row]`, else `q`, and all the rest.

    Along a front the chance rises from a third of it to all of it. `training` has metrics by model.
    """
    place, config = experiment.place, experiment.config
    asked = [Prompt((Message("user", f"say {i}"),)) for i in range(prompts)]
    write_rows(place.prompts, asked)
    write_rows(place.validation, asked[:4])
    for dimension in config.data:
        write_json(place.pairs(dimension) / "stats.json", {"labelled_by": []})
    for row, own in config.methods.items():
        points = len(experiment.points(row))
        for seed in experiment.seeds(row):
            rng = random.Random(f"{row} {seed}")
            answers = [
                Answer(point, _response(prompt, share.get(row, 0.3) * (point + 1) / points, rng))
                for point in range(points)
                for prompt in asked[: own.prompts]
            ]
            tokens = sum(a.response.tokens for a in answers)
            write_rows(place.answers(row, seed), answers)
            write_json(place.cost(row, seed), Cost(prompts, tokens, 3.0, {"base": 2 * tokens}))
        if own.tune:
            curve = [
                Tried(varied, Estimate(0.5 + i / 8, (0.4 + i / 8, 0.6 + i / 8), 24), i / 20, 4.0 + i, 0.01)
                for i, varied in enumerate(experiment.candidates(row))
            ]
            write_json(place.tuned(row), Chosen(curve[-1].settings, True, curve))
        if own.speed or config.speed:
            held = 2**30 + len(row) * 2**20
            times = {1: [1.0, 1.1, 0.9], 32: [1.0, 1.0, 1.0]}
            read = {"base": 1.0}
            speed = Speed({1: 0.4, 32: 0.06}, times, read, read, {1: held, 32: held})
            write_json(place.speed(row), speed)
        for model in experiment.all_models(row):
            if experiment.is_made(model):
                metrics = {"train/seconds": 90.0, "train/pairs": 30.0}
                for seed in experiment.model_seeds(model):
                    write_json(place.training(model, seed), (training or {}).get(model, metrics))
                    write_curves(place.curves(model, seed), CURVES)
    for row in config.methods:
        judge(experiment, row)


def _response(prompt: Prompt, share: float, rng: random.Random) -> Response:
    letters = rng.randint(8, 16)
    text = "".join(
        ("a" if rng.random() < share else "q") + (" " if rng.random() < 0.3 else "") for _ in range(letters)
    )
    return Response(prompt.id, text, letters, "stop", -1.5 * letters, rng.uniform(0.0, 0.2))
