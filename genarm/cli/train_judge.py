"""The command `genarm train-judge`."""

from typing import Annotated, Any

import typer

from genarm.cli.console import Dimension, Json, project, show
from genarm.config.judge_training import JudgeTraining

FIELDS = JudgeTraining.model_fields
LAYERS = Annotated[str, typer.Option(help=FIELDS["layers"].description)]


def _option(name: str) -> Any:
    return typer.Option(help=FIELDS[name].description)


def train_judge(
    dimension: Dimension,
    layers: LAYERS = str(FIELDS["layers"].default),
    learning_rate: Annotated[float, _option("learning_rate")] = FIELDS["learning_rate"].default,
    epochs: Annotated[float, _option("epochs")] = FIELDS["epochs"].default,
    batch_pairs: Annotated[int, _option("batch_pairs")] = FIELDS["batch_pairs"].default,
    rank: Annotated[int, _option("rank")] = FIELDS["rank"].default,
    max_tokens: Annotated[int, _option("max_tokens")] = FIELDS["max_tokens"].default,
    most: Annotated[int | None, _option("most")] = None,
    seed: Annotated[int, _option("seed")] = FIELDS["seed"].default,
    as_json: Json = False,
) -> None:
    """Train a judge on the pairs that `pairs.judge` sets aside, and register it as a version to be pinned."""
    from genarm.operations.train_judge import train_judge as train

    config = settings(
        layers=layers if layers == "all" else int(layers) if layers.isdigit() else layers,
        learning_rate=learning_rate,
        epochs=epochs,
        batch_pairs=batch_pairs,
        rank=rank,
        alpha=2.0 * rank,
        max_tokens=max_tokens,
        most=most,
        seed=seed,
    )
    trained = train(project(), dimension, config)
    show(trained if as_json else str(trained), as_json)


def settings(**values: Any) -> JudgeTraining:
    """The settings of the options; ConfigError naming the option that is out of range."""
    from pydantic import ValidationError

    from genarm.errors import ConfigError

    try:
        return JudgeTraining(**values)
    except ValidationError as error:
        first = error.errors()[0]
        option = "--" + str(first["loc"][0]).replace("_", "-")
        raise ConfigError(f"{option} {first['input']}: {first['msg']}", hint="give another value") from None
