"""What a training leaves beside the model."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Trained:
    """What a training measured: named numbers, and the curves, a row a logged step."""

    metrics: dict[str, float]
    curves: list[dict[str, float]]
