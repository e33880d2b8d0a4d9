"""What a run cost: time and tokens of each training and of each side's answers."""

from collections.abc import Sequence
from dataclasses import dataclass

from genarm.report.given import ReportInput, side_name


@dataclass(frozen=True, slots=True)
class Cost:
    """One piece of work, from loading its model to writing its files; None is not known."""

    work: str
    seconds: float | None
    tokens: float

    @property
    def tokens_per_second(self) -> float | None:
        """Tokens by all the time, that of loading a model included."""
        return self.tokens / self.seconds if self.seconds else None


def costs(given: ReportInput) -> Sequence[Cost]:
    """Trainings first, then the answers; the base answers once for all dimensions."""
    rows = [
        Cost(f"training {dimension}", metrics.get("train/seconds"), metrics["train/tokens"])
        for dimension, metrics in given.train_metrics.items()
        if "train/tokens" in metrics
    ]
    answered = {
        side_name(dimension, side): sum(row.tokens for row in answers)
        for dimension, sides in given.responses.items()
        for side, answers in sides.items()
    }
    rows += [
        Cost(f"answers of {name}", given.respond_seconds.get(name), tokens)
        for name, tokens in answered.items()
    ]
    return rows
