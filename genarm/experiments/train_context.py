"""What the models of an experiment are made in."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from genarm.models import ModelSource


@dataclass(frozen=True, slots=True)
class TrainContext:
    """What a model is made in: its pairs by dimension, other models by name, and where it goes."""

    base: ModelSource
    dtype: str
    pairs: Mapping[str, Path]  # dimension -> folder of splits
    models: Mapping[str, Path]
    name: str
    seed: int
    out: Path
    checkpoints: Path

    def split(self, dimension: str, split: str) -> Path:
        """The file of one split of the pairs of a dimension."""
        return self.pairs[dimension] / f"{split}.jsonl"
